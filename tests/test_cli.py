import sys

import pytest

import densevlm_mm
from densevlm_mm import cli, optional_packages
from densevlm_mm.project_files import project_root


@pytest.fixture(autouse=True)
def _restore_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_a_tool(name) -> None:
    assert (project_root() / cli.COMMANDS[name].tool).is_file()


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_commands(monkeypatch, capsys, arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["densevlm", *arguments])
    cli.main()
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in cli.COMMANDS)


def test_the_version_is_the_packages(capsys) -> None:
    cli.main(["--version"])
    assert capsys.readouterr().out.strip() == densevlm_mm.__version__


@pytest.mark.parametrize("name", ["train", "tools/train.py"])
def test_a_tool_gets_the_arguments_from_any_folder(monkeypatch, tmp_path, name) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main([name, "configs/tiny/denseflm.py"])
    assert "there is no config file configs/tiny/denseflm.py" in str(end.value.code)


def test_a_tools_help_calls_it_by_the_command(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("usage: densevlm predict [-h]")


@pytest.mark.parametrize("name", ["trian", "tools/trian.py", "setup.py", "tools/dist_train.sh"])
def test_anything_else_is_refused_with_the_list(name) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([name])
    assert str(end.value.code).startswith(f"densevlm: there is no command {name!r}")
    assert "  train " in str(end.value.code)


def test_a_missing_package_is_one_line(monkeypatch) -> None:
    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        cli.main(["report"])
    assert end.value.code == "densevlm report needs doit: pip install 'densevlm_mm[report]'"
