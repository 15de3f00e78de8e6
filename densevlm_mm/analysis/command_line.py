"""What the command lines of tools/analysis_tools share."""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from mmengine.utils import track_iter_progress
from torch.utils.data import DataLoader

from densevlm_mm.analysis.models import AnalysisModel, ModelSource, check_names, parse_model_source
from densevlm_mm.apis import exit_on_user_error
from densevlm_mm.apis.option_values import LiteralAction
from densevlm_mm.vocabulary.templates import TEMPLATE_SETS

SOURCE_HELP = (
    "[NAME=]CHECKPOINT[@CONFIG]: a checkpoint of tools/train.py or encoder weights in any published format; NAME "
    "stands in the picture, CONFIG is for a checkpoint of another architecture"
)


def analysis_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows the tool's docstring as it is."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_common_arguments(parser: argparse.ArgumentParser, with_cache: bool = False) -> None:
    """Add ``--out --cfg-options --device`` and, for what classifies annotated regions, ``--cache``."""
    parser.add_argument("--out", metavar="DIR", required=True, help="folder for the pictures and tables")
    if with_cache:
        parser.add_argument(
            "--cache", metavar="DIR", help="keep region scores here, so that the tools share one pass over the data"
        )
    parser.add_argument("--device", help="default: the GPU if there is one")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=LiteralAction,
        metavar="KEY=VALUE",
        help="override config values, e.g. test_dataloader.dataset.data_root=data/coco",
    )


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``IMAGE... --config --checkpoints --templates`` for tools that look at single images."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument("--checkpoints", nargs="+", required=True, metavar="CHECKPOINT", help=SOURCE_HELP)
    parser.add_argument("--config", help="config of the checkpoints that name none")
    parser.add_argument("--templates", choices=TEMPLATE_SETS, help="prompt templates; default: the config's")


def parse_sources(texts: Sequence[str], config: str | None) -> list[ModelSource]:
    """Read several ``[NAME=]CHECKPOINT[@CONFIG]``.

    Raises:
        ValueError: If one is malformed or two have the same name.
    """
    sources = [parse_model_source(text, config) for text in texts]
    check_names([source.name for source in sources])
    check_names([file_stem(source.name) for source in sources])
    return sources


def load_models(texts: Sequence[str], args: argparse.Namespace) -> list[AnalysisModel]:
    """The models of a command line with :func:`add_common_arguments` and a ``config``."""
    return [AnalysisModel(source, args.cfg_options, args.device) for source in parse_sources(texts, args.config)]


def progress_bar(loader: DataLoader) -> Iterable:
    """Iterate, with a progress bar if somebody looks on."""
    return track_iter_progress((loader, len(loader)), file=sys.stderr) if sys.stderr.isatty() else loader


@contextmanager
def one_line_errors(tool: str) -> Iterator[None]:
    """:func:`exit_on_user_error`, which also shortens what comes from a data-loading process.

    PyTorch puts the whole traceback of the process into the message; its last line is what happened.

    Args:
        tool: Name of the tool's file.
    """
    with exit_on_user_error(f"tools/analysis_tools/{tool}"):
        try:
            yield
        except (OSError, ValueError) as error:
            text = str(error).strip()
            if not text.startswith("Caught ") or "in DataLoader worker process" not in text:
                raise
            raise ValueError(text.splitlines()[-1].partition(": ")[2]) from error


def file_stem(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_") or "model"
