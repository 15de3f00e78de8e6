"""The command ``densevlm``: the tools of this project by a short name, from any folder."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

from densevlm_mm.optional_packages import require_packages
from densevlm_mm.project_files import project_file


class Command(NamedTuple):
    """A tool.

    Args:
        tool: Its path in the repository.
        summary: What it does, for ``densevlm --help``.
        packages: Modules that it needs beyond the package's requirements.
        extra: The extra that installs them.
    """

    tool: str
    summary: str
    packages: tuple[str, ...] = ()
    extra: str = ""


COMMANDS = {
    "demo": Command("tools/demo.py", "train on the embedded TinyScenes world and show what changes"),
    "train": Command("tools/train.py", "train from a config: pretraining, a detector or a segmentor"),
    "test": Command("tools/test.py", "test a checkpoint"),
    "predict": Command("tools/predict.py", "predict on images, for names that you give"),
    "web": Command("tools/web.py", "show in the browser what an encoder sees", ("gradio",), "web"),
    "embed": Command("tools/build_class_embeddings.py", "embed a vocabulary with a text tower"),
    "export": Command("tools/export_encoder.py", "write the encoder of a training checkpoint for others"),
    "export-onnx": Command("tools/export_onnx.py", "write an encoder as ONNX or torch.export graph"),
    "download": Command("tools/download.py", "fetch the weights and data of a config"),
    "report": Command("tools/reproduce_tiny.py", "rerun the paper's experiments on TinyScenes", ("doit",), "report"),
}


def usage() -> str:
    """The text of ``densevlm --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: densevlm COMMAND ARGUMENTS... | densevlm tools/TOOL.py ARGUMENTS...",
            "",
            *lines,
            "",
            "`densevlm COMMAND --help` shows the arguments. Any other tool is run by its path. Paths that begin with",
            "configs/, tools/ or densevlm_mm/ are looked for in the current folder, then in the package.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a tool as ``python tools/TOOL.py`` would.

    Args:
        arguments: Name of the command and its arguments; default: the command line's.

    Raises:
        SystemExit: With a message if there is no such command, or packages that it needs are missing.
    """
    name, *rest = arguments if arguments is not None else sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(usage())
        return
    if name == "--version":
        print(import_module("densevlm_mm").__version__)
        return
    command = COMMANDS.get(name, Command(name, ""))
    tool = project_file(command.tool)
    if not command.tool.startswith("tools/") or tool.suffix != ".py" or not tool.is_file():
        sys.exit(f"densevlm: there is no command {name!r}\n\n{usage()}")
    try:
        require_packages(f"densevlm {name}", command.packages, command.extra)
    except ValueError as error:
        sys.exit(str(error))
    sys.argv = [f"densevlm {name}", *rest]
    sys.path.insert(0, str(tool.parent))  # as Python does for a script: tools import from the folder beside them
    _load(tool).main()


def _load(tool: Path) -> Any:
    """Import a tool under a name that no installed module has."""
    name = f"densevlm_tool_{tool.stem}"
    spec = spec_from_file_location(name, tool)
    if spec is None or spec.loader is None:
        raise ImportError(f"{tool} is no Python file that can be imported")
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
