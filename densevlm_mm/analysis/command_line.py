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
