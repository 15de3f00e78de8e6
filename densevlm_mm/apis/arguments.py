"""The flags that tools share; importing it takes no torch."""

import argparse

from densevlm_mm.apis.option_values import LiteralAction


def add_experiment_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every tool that runs an experiment: ``--work-dir --cfg-options --launcher``."""
    parser.add_argument("--work-dir", help="folder for logs and results; default: work_dirs/<name of the config>")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=LiteralAction,
        metavar="KEY=VALUE",
        help="override config values, e.g. train_dataloader.batch_size=8 model.loss.threshold=0.5",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="job launcher")
    # torch.distributed.launch passes it; torchrun sets the environment variable.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def add_conversion_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every converter that can check what it wrote: ``--nproc --verify``."""
    parser.add_argument("--nproc", type=int, default=1, help="number of processes")
    parser.add_argument(
        "--verify", action="store_true", help="convert nothing; compare what was written with the source"
    )
