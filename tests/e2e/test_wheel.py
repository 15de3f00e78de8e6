"""The package as people install it: a wheel, in an environment of its own, away from the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from mmengine.fileio import load

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("densevlm_mm", "configs", "tools")
FILES = ("setup.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE", "model-index.yml")


def run(*command: object, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; what the wheel needs is this environment's, not installed again."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # setuptools writes into the folder that it builds
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    target = (*pip, "--python", folder / "env/bin/python", "install", "--no-index")
    run(*target, "--no-deps", wheel, cwd=folder)
    paths = dict.fromkeys(sysconfig.get_paths()[name] for name in ("purelib", "platlib"))
    (site_packages(folder / "env") / "shared.pth").write_text("\n".join(paths))
    run(*target, "densevlm_mm[lite,onnx,report]", cwd=folder)  # nothing that it asks for is missing
    return folder / "env"


def site_packages(environment: Path) -> Path:
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


def listing(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_the_wheel_has_every_file_in_the_layout_of_mim(environment) -> None:
    installed = site_packages(environment) / "densevlm_mm"
    assert listing(installed / ".mim/configs") == listing(ROOT / "configs")
    assert listing(installed / ".mim/tools") == listing(ROOT / "tools")
    assert {path for path in listing(installed) if path.parts[0] != ".mim"} == listing(ROOT / "densevlm_mm")
    metafiles = [load(installed / ".mim" / path) for path in load(installed / ".mim/model-index.yml")["Import"]]
    configs = [model["Config"] for metafile in metafiles for model in metafile["Models"]]
    assert configs
    assert all((installed / ".mim" / config).is_file() for config in configs)


def test_the_demo_runs_from_the_wheel_and_writes_where_the_user_is(environment, tmp_path) -> None:
    before = listing(site_packages(environment))
    said = run(environment / "bin/densevlm", "demo", "--quick", cwd=tmp_path)
    assert "$ densevlm tools/train.py configs/tiny/densevlm.py" in said
    assert "| student after DenseVLM |" in said
    assert (tmp_path / "work_dirs/demo/predictions.png").is_file()
    assert listing(site_packages(environment)) == before
