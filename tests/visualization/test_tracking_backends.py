import pytest

from densevlm_mm.visualization.tracking_backends import FiguresWandbVisBackend


def test_wandb_without_a_login_is_one_line_that_says_how_to_do_without(tmp_path, monkeypatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    backend = FiguresWandbVisBackend(str(tmp_path), init_kwargs=dict(project="tiny", mode="online"))
    with pytest.raises(ValueError, match="API key.*WANDB_MODE=offline"):
        backend.add_scalar("loss", 1.0)
