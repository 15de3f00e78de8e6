import runpy
import sys
from pathlib import Path

import pytest

from densevlm_mm.downloads import known_downloads

ROOT = Path(__file__).parents[2]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["download.py", *map(str, arguments)])
    runpy.run_path(str(ROOT / "tools" / "download.py"), run_name="__main__")


def test_the_list_names_licences_and_what_only_a_person_can_get(monkeypatch, capsys) -> None:
    run(monkeypatch, "--list")
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(known_downloads()) <= set(lines)
    assert "non-commercial" in lines["densevlm_coco_6_save6_512_eva_vib16_12layers.pt"]
    assert "19.3 GB" in lines["train2017"]
    assert "not fetched: https://www.objects365.org" in lines["objects365_val.json"]


def test_a_config_whose_files_are_not_published_ends_with_what_to_do(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "--for", "configs/tiny/densevlm.py")
    assert end.value.code == 1
    said = capsys.readouterr().out
    assert "get it: python tools/dataset_converters/tiny_scenes.py data/tiny_scenes" in said


@pytest.mark.parametrize("arguments", [[], ["val2017", "--list"], ["--list", "--for", "x.py"]])
def test_one_thing_is_asked_for_at_a_time(monkeypatch, capsys, arguments) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, *arguments)
    assert "give names, or --for CONFIG, or --list" in capsys.readouterr().err
