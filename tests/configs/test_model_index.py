from pathlib import Path

from mmengine.fileio import load

ROOT = Path(__file__).resolve().parents[2]


def test_the_index_names_every_metafile() -> None:
    metafiles = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/*/metafile.yml"))
    assert load(ROOT / "model-index.yml")["Import"] == metafiles
