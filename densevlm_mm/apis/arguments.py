"""The flags that tools share; importing it takes no torch."""

import argparse

from mmengine.config import DictAction


def add_experiment_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every tool that runs an experiment: ``--work-dir --cfg-options --launcher``."""
    parser.add_argument("--work-dir", help="folder for logs and results; default: work_dirs/<name of the config>")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override config values, e.g. train_dataloader.batch_size=8 model.loss.threshold=0.5",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="job launcher")
    # torch.distributed.launch passes it; torchrun sets the environment variable.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
