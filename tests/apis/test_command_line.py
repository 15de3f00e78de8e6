from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from densevlm_mm.apis import build_runner, exit_on_user_error
from densevlm_mm.engine.hooks import NormalizationCheckHook


@pytest.mark.parametrize(
    "error",
    [
        KeyError("no key 'lerning_rate'"),
        ValueError("no key 'lerning_rate'"),
        FileNotFoundError("no key 'lerning_rate'"),
    ],
)
def test_user_errors_are_one_line_with_the_tools_name(error: Exception) -> None:
    with pytest.raises(SystemExit) as stopped, exit_on_user_error("tools/x.py"):
        raise error
    assert str(stopped.value.code).splitlines()[0] == "tools/x.py: no key 'lerning_rate'"


def test_the_log_file_gets_the_traceback(tmp_path: Path) -> None:
    log_file = tmp_path / "run.log"
    name = str(tmp_path)  # the newest logger is the current one, whatever other tests have left behind
    MMLogger.get_instance(name, log_file=str(log_file))
    try:
        with pytest.raises(SystemExit, match=r"run\.log"), exit_on_user_error("tools/x.py"):
            raise ValueError("wrong")
    finally:
        MMLogger._instance_dict.pop(name)
    text = log_file.read_text()
    assert "Traceback" in text
    assert "ValueError: wrong" in text


def test_bugs_keep_their_traceback() -> None:
    with pytest.raises(TypeError), exit_on_user_error("tools/x.py"):
        raise TypeError("a bug")


@pytest.mark.parametrize("hooks", [{}, dict(normalization_check=dict(type="NormalizationCheckHook"))])
def test_every_run_compares_the_normalisation_once(tmp_path: Path, hooks: dict) -> None:
    encoder = dict(
        type="DenseImageEncoder", checkpoint="densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
    )
    cfg = Config(
        dict(
            model=encoder,
            work_dir=str(tmp_path),
            launcher="none",
            default_scope="densevlm_mm",
            default_hooks=hooks,
            experiment_name=tmp_path.name,
        )
    )
    assert sum(isinstance(hook, NormalizationCheckHook) for hook in build_runner(cfg).hooks) == 1
