"""Commands of the documents: tools, flags and configs exist, and what can be run with small stand-ins is run.

Above commands that are not run here stands a line ``# needs ...`` in their block. docs/your_own_data.md has a test of
its own.
"""

import argparse
import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

import densevlm_mm.detection
import densevlm_mm.segmentation  # noqa: F401  (once for all commands, which run in copies of this process)
from densevlm_mm.apis import load_experiment
from tests.fixtures.page_commands import ROOT, Command, page_commands, run_command, tool_and_arguments

OWN_TEST = "docs/your_own_data.md"
USERS_PAGES = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/*.md")))]
USERS_PAGES.remove(OWN_TEST)
OTHER_PAGES = [
    str(path.relative_to(ROOT)) for pattern in ("configs", "tools") for path in ROOT.glob(f"{pattern}/*/*.md")
]
COMMANDS = {page: list(page_commands(page)) for page in [*USERS_PAGES, *OTHER_PAGES]}

STUDENT = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
# What begins so in README and docs is run, with these in the place of its words; "" leaves a word out.
STAND_INS = {
    "python tools/dataset_converters/tiny_scenes.py data/tiny_scenes": {
        "data/tiny_scenes": "made --num-train 2 --num-val 2"
    },
    "python tools/predict.py weights/": {},
    "python tools/predict.py ENCODER": {"ENCODER": STUDENT, "IMAGES_FOLDERS_OR_VIDEOS...": "photos", "DIR": "out2"},
    "python tools/download.py --list": {},
    "python tools/export_onnx.py weights/densevlm_eva02_b16.safetensors street.onnx": {},
    "python tools/build_vocabulary.py": {"--wordnet": "", "20": "1"},
    "python tools/build_class_embeddings.py set_316": {
        "set_316": "tiny_scenes",
        "EVA02-B-16": "TinyScenes-S",
        "EVA02_CLIP_B_psz16_s8B.pt": STUDENT,
    },
    "python tools/cache_teacher.py": {"configs/densevlm/pretrain_coco_cached.py": "cached.py", "100": "4"},
    "python tools/dataset_converters/images_to_shards.py pack": {"data/coco/train2017": "photos"},
}
EVERYWHERE = {"weights/densevlm_eva02_b16.safetensors": STUDENT}
# Targets of the Makefile and commands that other tests, or CI itself, run.
ELSEWHERE = {
    "make demo": "tests/e2e/test_wheel.py",
    "densevlm demo": "tests/e2e/test_wheel.py",
    "make docs": "tests/test_docs_site.py",
    "make test": ".ci/run",
    "make web": "tests/web/test_server.py",
}


class ParsedError(Exception):
    """Carries what a tool's parser made of a command line."""


def stand_ins(command: Command) -> dict[str, str] | None:
    if command.page not in USERS_PAGES:
        return None
    return next((words for start, words in STAND_INS.items() if command.text.startswith(start)), None)


@pytest.mark.parametrize("page", [page for page, commands in COMMANDS.items() if commands])
def test_tools_know_their_arguments(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def stop_after_parsing(self: argparse.ArgumentParser, *arguments: object) -> None:
        raise ParsedError(parse(self, *arguments))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop_after_parsing)
    monkeypatch.chdir(ROOT)
    for command in COMMANDS[page]:
        tool, arguments = tool_and_arguments(shlex.split(command.text))
        if tool == "make":
            makefile = (ROOT / "Makefile").read_text()
            assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in arguments), command
            continue
        monkeypatch.setattr(sys, "argv", [tool, *arguments])
        monkeypatch.syspath_prepend(str((ROOT / tool).parent))
        try:
            runpy.run_path(tool)["parse_args"]()
        except ParsedError as parsed:
            check_config(parsed.args[0])
        except SystemExit:
            pytest.fail(f"{page}: {tool} does not take the arguments of\n{command.text}")


def check_config(args: argparse.Namespace) -> None:
    """Load the config of a command with its options: an unknown key is an error."""
    if getattr(args, "cfg_options", None) and Path(args.config).is_file():
        load_experiment(args.config, args.cfg_options)


@pytest.mark.parametrize("page", USERS_PAGES)
def test_commands_are_run_or_say_what_they_need(page: str) -> None:
    silent = [
        command.text
        for command in COMMANDS[page]
        if not command.is_marked and stand_ins(command) is None and command.text not in ELSEWHERE
    ]
    assert all((ROOT / path).is_file() for path in ELSEWHERE.values())
    assert not silent, "put a line '# needs ...' above them in their blocks, or run them here"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_world: Path) -> Path:
    """What the commands that are run find beside the repository's folders."""
    root = tmp_path_factory.mktemp("page_commands")
    for name in ("configs", "densevlm_mm", "tools"):
        (root / name).symlink_to(ROOT / name)
    (root / "photos").mkdir()
    for photo in sorted((tiny_world / "val").glob("*.jpg"))[:2]:
        (root / "photos" / photo.name).symlink_to(photo)
    (root / "data").mkdir()
    (root / "data/tiny_scenes").symlink_to(tiny_world)
    (root / "cached.py").write_text(
        "_base_ = 'configs/tiny/densevlm_cached.py'\n"
        "train_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False)\n"
        "default_hooks = dict(teacher=dict(cache=dict(path='work_dirs/teacher_cache')))\n"
    )
    (root / "words.jsonl").write_text(json.dumps(dict(image="1.jpg", words=["broccoli", "a table"])))
    (root / "kinds.json").write_text(json.dumps(dict(broccoli="thing", table="thing")))
    return root


RUN = [command for page in USERS_PAGES for command in COMMANDS[page] if stand_ins(command) is not None]


def test_quick_commands_run(folder: Path, tmp_path: Path) -> None:
    for number, command in enumerate(RUN):
        words = {**EVERYWHERE, **stand_ins(command)}
        text = " ".join(words.get(word, shlex.quote(word)) for word in shlex.split(command.text))
        run_command(text, folder, tmp_path / f"{number}.log")
    for name in ("made/val/000001.jpg", "my_set.json", "street.onnx"):
        assert (folder / name).is_file()
    assert len(list((folder / "data/class_embeddings").glob("*.safetensors"))) == 1


def test_every_stand_in_is_of_a_command() -> None:
    assert not [start for start in STAND_INS if not any(command.text.startswith(start) for command in RUN)]
