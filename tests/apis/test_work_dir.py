import os
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from densevlm_mm.apis import choose_work_dir, claim_work_dir
from densevlm_mm.apis.work_dir import keep_given_config
from tests.fixtures.work_dirs import let_go_of_work_dirs


@pytest.fixture
def work_dir(tmp_path):
    yield tmp_path / "run"
    let_go_of_work_dirs()


def experiment(work_dir: Path, **kwargs) -> Config:
    return Config({"work_dir": str(work_dir), "load_from": None, "resume": False, "launcher": "none", **kwargs})


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(meta=dict(iter=3), state_dict={}, optimizer={}, message_hub={}), path)
    return path


def test_a_new_run_takes_an_empty_folder(work_dir) -> None:
    cfg = experiment(work_dir, load_from="weights.pth")
    claim_work_dir(cfg)
    assert (cfg.resume, cfg.load_from) == (False, "weights.pth")
    assert work_dir.is_dir()


@pytest.mark.parametrize("name", ["iter_3.pth", "epoch_1.pth", "best_mIoU_iter_3.pth", "last_checkpoint"])
def test_a_new_run_does_not_start_over_checkpoints(work_dir, name) -> None:
    save(work_dir / name)
    with pytest.raises(ValueError, match=r"checkpoints of an earlier run.*--resume.*--work-dir"):
        claim_work_dir(experiment(work_dir))


def test_other_files_in_the_folder_do_not_matter(work_dir) -> None:
    save(work_dir / "teacher.pth")
    claim_work_dir(experiment(work_dir))


def test_resume_goes_on_from_the_newest(work_dir) -> None:
    newest = save(work_dir / "iter_3.pth")
    cfg = experiment(work_dir)
    claim_work_dir(cfg, "auto")
    assert (cfg.resume, cfg.load_from) == (True, str(newest))


def test_a_job_that_always_resumes_starts_with_the_configs_weights(work_dir) -> None:
    cfg = experiment(work_dir, load_from="weights.pth")
    claim_work_dir(cfg, "auto")
    assert (cfg.resume, cfg.load_from) == (False, "weights.pth")


def test_a_config_that_says_resume_is_treated_as_the_option(work_dir) -> None:
    newest = save(work_dir / "iter_3.pth")
    cfg = experiment(work_dir, resume=True)
    claim_work_dir(cfg)
    assert cfg.load_from == str(newest)


def test_a_named_checkpoint_has_to_exist_and_to_be_whole(work_dir, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*none\.pth"):
        claim_work_dir(experiment(work_dir), str(tmp_path / "none.pth"))
    (tmp_path / "half.pth").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"half\.pth is cut short"):
        claim_work_dir(experiment(work_dir), str(tmp_path / "half.pth"))


def test_another_runs_checkpoint_starts_a_folder_of_its_own(work_dir, tmp_path) -> None:
    other = save(tmp_path / "other" / "iter_3.pth")
    cfg = experiment(work_dir)
    claim_work_dir(cfg, str(other))
    assert (cfg.resume, cfg.load_from) == (True, str(other))
    save(work_dir / "iter_9.pth")
    with pytest.raises(ValueError, match="earlier run"):
        claim_work_dir(experiment(work_dir), str(other))


def test_what_killed_processes_left_half_written_is_cleared_away(work_dir) -> None:
    save(work_dir / "iter_3.pth")
    left = work_dir / ".iter_6.0a1b2c3d.partial.pth"
    left.write_text("half")
    claim_work_dir(experiment(work_dir), "auto")
    assert not left.exists()


def test_the_other_processes_find_the_same_and_touch_nothing(work_dir, monkeypatch) -> None:
    newest = save(work_dir / "iter_3.pth")
    (work_dir / ".iter_6.0a1b2c3d.partial.pth").write_text("of the main process")
    monkeypatch.setenv("RANK", "1")
    cfg = experiment(work_dir, launcher="pytorch")
    claim_work_dir(cfg, "auto")
    assert cfg.load_from == str(newest)
    assert (work_dir / ".iter_6.0a1b2c3d.partial.pth").exists()
    assert not (work_dir / ".lock").exists()


def test_checkpoints_in_a_folder_of_their_own_are_found(work_dir, tmp_path) -> None:
    newest = save(tmp_path / "fast" / "run" / "iter_3.pth")
    cfg = experiment(work_dir, default_hooks=dict(checkpoint=dict(out_dir=str(tmp_path / "fast"))))
    with pytest.raises(ValueError, match="earlier run"):
        claim_work_dir(cfg)
    claim_work_dir(cfg, "auto")
    assert cfg.load_from == str(newest)


@pytest.fixture
def by_default(tmp_path, monkeypatch):
    """An experiment whose user has named no folder."""
    monkeypatch.chdir(tmp_path)

    def build(work_dir: str = "work_dirs/mine", **kwargs) -> Config:
        cfg = experiment(Path(work_dir), **kwargs)
        object.__setattr__(cfg, "_filename", "configs/mine.py")
        return cfg

    return build


def chosen(cfg: Config, resume: str | None = None) -> str:
    choose_work_dir(cfg, resume)
    return cfg.work_dir


def test_a_config_that_is_run_again_gets_the_next_folder(by_default, capture_log) -> None:
    assert chosen(by_default()) == "work_dirs/mine"
    assert not capture_log()
    save(Path("work_dirs/mine/iter_3.pth"))
    save(Path("work_dirs/mine_2/best_mIoU_iter_3.pth"))
    assert chosen(by_default()) == "work_dirs/mine_3"
    assert capture_log() == ["work_dirs/mine_2 has an earlier run of this config; this one goes to work_dirs/mine_3."]


def test_resuming_goes_on_in_the_last_folder_or_in_that_of_the_checkpoint(by_default) -> None:
    assert chosen(by_default(), "auto") == "work_dirs/mine"
    first = save(Path("work_dirs/mine/iter_3.pth"))
    save(Path("work_dirs/mine_2/iter_3.pth"))
    assert chosen(by_default(), "auto") == "work_dirs/mine_2"
    assert chosen(by_default(resume=True)) == "work_dirs/mine_2"
    assert chosen(by_default(), str(first)) == "work_dirs/mine"
    assert chosen(by_default(), str(save(Path("elsewhere/iter_3.pth")))) == "work_dirs/mine_3"


def test_folders_that_the_config_names_stay(by_default) -> None:
    save(Path("runs/iter_3.pth"))
    assert chosen(by_default("runs")) == "runs"
    save(Path("work_dirs/mine/iter_3.pth"))
    hooks = dict(checkpoint=dict(type="AtomicCheckpointHook", out_dir="kept"))
    assert chosen(by_default(default_hooks=hooks)) == "work_dirs/mine"


def dump(cfg: Config) -> None:
    """What a Runner does when it is built."""
    Runner.dump_config(SimpleNamespace(cfg=deepcopy(cfg), work_dir=cfg.work_dir))


@pytest.mark.parametrize("through_a_link", [False, True])
def test_the_users_config_in_the_work_dir_is_not_written_over(tmp_path, through_a_link) -> None:
    text = "# mine\nlr = 0.1  # tuned\n"
    config = tmp_path / "mine.py"
    config.write_text(text)
    work_dir = tmp_path
    if through_a_link:
        work_dir = tmp_path.parent / "link"
        work_dir.unlink(missing_ok=True)
        os.symlink(tmp_path, work_dir)
    cfg = Config.fromfile(str(config))
    cfg.work_dir, cfg.lr = str(work_dir), 0.2
    keep_given_config(cfg)
    dump(cfg)
    assert config.read_text() == text
    assert Config.fromfile(tmp_path / "mine.dumped.py").lr == 0.2


def test_elsewhere_the_dump_has_the_configs_name(tmp_path) -> None:
    (tmp_path / "mine.py").write_text("lr = 0.1\n")
    (tmp_path / "run").mkdir()
    for lr in (0.1, 0.2):  # an earlier dump is replaced
        cfg = Config.fromfile(str(tmp_path / "mine.py"))
        cfg.work_dir, cfg.lr = str(tmp_path / "run"), lr
        keep_given_config(cfg)
        dump(cfg)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.py"]
    assert Config.fromfile(tmp_path / "run" / "mine.py").lr == 0.2
    keep_given_config(Config(dict(work_dir=str(tmp_path))))  # of no file
