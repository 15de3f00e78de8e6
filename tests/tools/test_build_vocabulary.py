import json
import runpy
import sys
from pathlib import Path

import pytest

from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.category_sets import ChatClassifier

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(monkeypatch):
    """The tool in this process: starting another one takes ten seconds."""

    def run_tool(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["build_vocabulary.py", *map(str, arguments)])
        runpy.run_path(str(ROOT / "tools" / "build_vocabulary.py"), run_name="__main__")

    return run_tool


@pytest.fixture
def files(tmp_path) -> Path:
    lines = [dict(image=f"{i}.jpg", words=["sky", "Dogs", "a dog", "automobile"]) for i in range(3)]
    lines += [dict(image="9.jpg", words=["car", "happy", "zebra", "idea", "idea", "??", "sky"])]
    lines += [dict(image=f"{i}.jpg", words=["happy", "idea"]) for i in range(10, 12)]
    (tmp_path / "words.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "kinds.json").write_text(json.dumps(dict(car="thing", dog="thing", sky="stuff", happy="neither")))
    (tmp_path / "synonyms.json").write_text(json.dumps(dict(automobile="car")))
    return tmp_path


def test_writes_a_vocabulary_and_says_what_became_of_every_word(run, files, capsys) -> None:
    out = files / "mine.json"
    options = ["--kinds", files / "kinds.json", "--synonyms", files / "synonyms.json", "--min-images", 3]
    run(files / "words.jsonl", out, *options)
    assert "2 things, 1 stuff classes" in capsys.readouterr().out
    vocabulary = Vocabulary.load(out)
    assert vocabulary.name == "mine"
    assert vocabulary.classes == ("car", "dog", "sky")  # things first, frequent first
    assert vocabulary.thing_mask.tolist() == [True, True, False]
    report = json.loads((files / "mine.report.json").read_text())
    assert {entry["word"]: (entry["images"], entry["reason"]) for entry in report["dropped"]} == {
        "??": (1, "nothing is left of it"),
        "zebra": (1, "in fewer than 3 images"),
        "idea": (3, f"not known to {files / 'kinds.json'}"),
        "happy": (3, f"neither thing nor stuff ({files / 'kinds.json'})"),
    }
    assert report["merged"] == {"Dogs": "dog", "a dog": "dog", "automobile": "car", "dogs": "dog"}


def test_user_errors_are_one_line(run, files) -> None:
    with pytest.raises(SystemExit, match=r"no word is left: .*mine\.report\.json"):
        run(files / "words.jsonl", files / "mine.json", "--kinds", files / "kinds.json", "--min-images", 50)
    with pytest.raises(SystemExit, match=r"tools/build_vocabulary\.py: there is no file .*none\.jsonl"):
        run(files / "none.jsonl", files / "mine.json", "--kinds", files / "kinds.json")


def test_someone_must_tell_things_from_stuff(run, files, capsys) -> None:
    with pytest.raises(SystemExit):
        run(files / "words.jsonl", files / "mine.json")
    assert "--wordnet" in capsys.readouterr().err


def test_the_endpoint_is_asked_for_what_the_file_does_not_know(run, files, monkeypatch) -> None:
    asked = []

    def answer(self: ChatClassifier, words: list[str]) -> dict:
        asked.append((self.url, self.model, self._headers["Authorization"], words))
        return dict(choices=[dict(message=dict(content=json.dumps(dict.fromkeys(words, "stuff"))))])

    monkeypatch.setattr(ChatClassifier, "_post", answer)
    monkeypatch.setenv("MY_KEY", "secret")
    chat = ["--chat-url", "http://localhost:1/v1", "--chat-model", "tiny", "--chat-key-env", "MY_KEY"]
    out = files / "mine.json"
    run(files / "words.jsonl", out, "--kinds", files / "kinds.json", "--min-images", 3, *chat)
    assert asked == [("http://localhost:1/v1/chat/completions", "tiny", "Bearer secret", ["automobile", "idea"])]
    assert Vocabulary.load(out).classes == ("dog", "sky", "automobile", "idea")
    assert "secret" not in out.with_suffix(".report.json").read_text()
