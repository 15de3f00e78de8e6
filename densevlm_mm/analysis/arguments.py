"""The flags that tools/analysis_tools share; importing it takes no torch."""

import argparse

from mmengine.config import DictAction

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
        action=DictAction,
        metavar="KEY=VALUE",
        help="override config values, e.g. test_dataloader.dataset.data_root=data/coco",
    )


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``IMAGE... --config --checkpoints --templates`` for tools that look at single images."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument("--checkpoints", nargs="+", required=True, metavar="CHECKPOINT", help=SOURCE_HELP)
    parser.add_argument("--config", help="config of the checkpoints that name none")
    parser.add_argument("--templates", choices=TEMPLATE_SETS, help="prompt templates; default: the config's")
