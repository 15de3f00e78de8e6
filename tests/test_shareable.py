import json
from collections.abc import Iterator

import pytest

from densevlm_mm import shareable as module
from densevlm_mm.shareable import shareable
from densevlm_mm.tables import write_csv, write_json
from tests.fixtures.toy_run import load, toy_runner

SECRETS = dict(
    HF_TOKEN="hf_0123456789",
    WANDB_API_KEY="wandb.key+1",
    PGPASSWORD="correct horse",
    AWS_SECRET_ACCESS_KEY="aws/1/2/3",
)


@pytest.fixture(autouse=True)
def _somebodys_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOME", "/home/ada")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "tokenizers")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada Lovelace")
    monkeypatch.setenv("SHORT_TOKEN", "1")
    module._of_this_process.cache_clear()
    yield
    module._of_this_process.cache_clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ada/weights/a.pt", "~/weights/a.pt"),
        ("checkpoint '/home/ada' of /home/ada, /home/ada/b", "checkpoint '~' of ~, ~/b"),
        ("/home/adam/a.pt", "/home/adam/a.pt"),
        ("/data/home/ada/a.pt", "/data/home/ada/a.pt"),
        ("/home/ada.old/a.pt", "/home/ada.old/a.pt"),
        ("relative/a.pt", "relative/a.pt"),
        ("https://ada:pw@host/a.pt?token=abc&v=1&X-Amz-Signature=9f", "https://host/a.pt?token=***&v=1&X-Amz-Signature=***"),
        ("https://host/a.pt?v=1", "https://host/a.pt?v=1"),
        ("user@host is no address", "user@host is no address"),
        *((f"key='{value}'", "key='***'") for value in SECRETS.values()),
        ("1 tokenizers of Ada Lovelace", "1 tokenizers of Ada Lovelace"),
    ],
)  # fmt: skip
def test_neither_home_nor_secrets_are_told(text: str, expected: str) -> None:
    assert shareable(text) == expected


@pytest.mark.parametrize("home", ["/", ""])
def test_a_user_without_a_home_loses_no_path(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home)
    module._of_this_process.cache_clear()
    assert shareable("/data/a.pt") == "/data/a.pt"


def test_results_are_fit_to_be_given_away(tmp_path) -> None:
    content = dict(checkpoint="/home/ada/a.pth", images=[dict(img_path="/home/ada/1.png")], url="https://x:y@z/1")
    write_json(tmp_path / "a.json", content)
    write_csv(tmp_path / "a.csv", [dict(image="/home/ada/1.png", key="hf_0123456789")], ["image", "key"])
    assert json.loads((tmp_path / "a.json").read_text()) == dict(
        checkpoint="~/a.pth", images=[dict(img_path="~/1.png")], url="https://z/1"
    )
    assert (tmp_path / "a.csv").read_text() == "image,key\n~/1.png,***\n"


def test_a_checkpoint_holds_no_secret(tmp_path) -> None:
    """Configs take them from the environment, for the services that a visualizer logs to."""
    cfg = dict(work_dir="/home/ada/runs", key="hf_0123456789")
    runner = toy_runner(tmp_path, iterations=1)
    runner.cfg.merge_from_dict(dict(vis_settings=cfg))
    runner.train()
    checkpoint = load(tmp_path / "iter_1.pth")
    texts = checkpoint["meta"]["cfg"], checkpoint["message_hub"]["runtime_info"]["cfg"]
    for text in texts:
        assert "vis_settings" in text
        assert "~/runs" in text
        assert "/home/ada" not in text
        assert "hf_0123456789" not in text
