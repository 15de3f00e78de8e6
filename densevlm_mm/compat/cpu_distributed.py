"""Lets mmengine's Runner train, validate and test in several processes without a GPU.

What breaks: with a launcher mmengine (a) calls ``torch.cuda.set_device`` before it starts the process group, (b) wraps
the model with ``device_ids=[LOCAL_RANK]``, which torch refuses for a model on the CPU, (c) SyncBN layers stop with
"only work with GPU modules", and (d) a process that is done now and then aborts on its way out.
Upstream: (c) is https://github.com/open-mmlab/mmsegmentation/issues/387. No issue of mmengine was found that reports
(a), (b) or (d); https://github.com/open-mmlab/mmengine/pull/973 is where their lines got the present form.
Needed by: mmengine 0.10.7 on machines without a GPU. With a GPU both functions do nothing.
"""

import atexit
import os
import time
from typing import Any

import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODEL_WRAPPERS
from torch.nn.parallel import DistributedDataParallel

_SYNC_NORMS = frozenset({"SyncBN", "MMSyncBN", "SyncBatchNorm"})
_GRACE_SECONDS = 0.5
_RENDEZVOUS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def init_cpu_process_group(launcher: str) -> None:
    """Start the process group with gloo where there is no GPU; call it before the Runner is built.

    The Runner leaves a process group alone that is already there.

    Args:
        launcher: The Runner's: "none", or "pytorch" for processes started by torchrun.

    Raises:
        ValueError: If `launcher` is another one, or the environment variables of torchrun are missing.

    Example:
        >>> init_cpu_process_group(cfg.launcher)
        >>> adapt_config_to_cpu(cfg)
        >>> runner = Runner.from_cfg(cfg)
    """
    if launcher == "none" or get_device() != "cpu" or dist.is_initialized():
        return
    if launcher != "pytorch":
        raise ValueError(
            f"Without a GPU only the launchers 'none' and 'pytorch' work, got {launcher!r}. Start the processes with "
            "torchrun and pass --launcher pytorch."
        )
    missing = [name for name in _RENDEZVOUS if name not in os.environ]
    if missing:
        raise ValueError(
            f"launcher='pytorch' needs the environment variables {', '.join(missing)}. Start with "
            "`torchrun --nproc_per_node N tools/train.py CONFIG --launcher pytorch`, or pass --launcher none."
        )
    dist.init_process_group("gloo")
    atexit.register(_let_threads_finish)


def _let_threads_finish() -> None:
    """Wait until gloo's threads have let go of the tensors of the last collective.

    Freeing them takes the interpreter's lock. A thread that asks for it when the interpreter is gone is killed inside
    C++ code, which aborts the process ("terminate called without an active exception"): on a busy machine one in ten.
    """
    if dist.is_initialized():
        time.sleep(_GRACE_SECONDS)


def adapt_config_to_cpu(cfg: Config) -> None:
    """Change the parts of a config that need a GPU, in place; nothing where there is one.

    SyncBN becomes BN everywhere in ``cfg.model``, ``sync_bn`` is dropped, and the wrapper of the distributed model gets
    ``device_ids=None``. A wrapper of the user's keeps its type and its other arguments.

    Args:
        cfg: The Runner's config.
    """
    if get_device() != "cpu":
        return
    if "model" in cfg:
        _replace_sync_norms(cfg.model)
    if cfg.get("sync_bn") is not None:
        cfg.sync_bn = None
    wrapper = cfg.get("model_wrapper_cfg")
    if wrapper is None:
        cfg.model_wrapper_cfg = dict(
            type="MMDistributedDataParallel",
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get("find_unused_parameters", False),
        )
    elif _is_distributed_data_parallel(wrapper.get("type", "MMDistributedDataParallel")):
        wrapper["device_ids"] = None  # the only value that torch takes for a model on the CPU


def _replace_sync_norms(node: Any) -> None:
    if isinstance(node, dict):
        kind = node.get("type")  # a name, perhaps with a scope, or a class
        name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
        if name.rpartition(".")[2] in _SYNC_NORMS:
            node["type"] = "BN"
        children = list(node.values())
    else:
        children = list(node) if isinstance(node, list | tuple) else []
    for child in children:
        _replace_sync_norms(child)


def _is_distributed_data_parallel(wrapper_type: str | type) -> bool:
    resolved = MODEL_WRAPPERS.get(wrapper_type) if isinstance(wrapper_type, str) else wrapper_type
    return isinstance(resolved, type) and issubclass(resolved, DistributedDataParallel)
