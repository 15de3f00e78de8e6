"""Frozen teachers as runner hooks: they write targets into the batch before every step."""

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import torch
from mmengine.device import get_device
from mmengine.runner import Runner
from torch import Tensor, nn

from densevlm_mm.engine.hooks.target import TargetHook
from densevlm_mm.registry import MODELS
from densevlm_mm.structures import RegionDataSample

# B images, S side of the canvas.


class Teacher(Protocol):
    """What every teacher offers beside being an ``nn.Module`` of the registry ``MODELS``.

    The methods that give the targets are an affair between a teacher and its hook.
    """

    def normalize(self, images: Tensor) -> Tensor:
        """Normalise RGB images (B, 3, H, W) in 0-255 as the teacher was trained."""


class TeacherHook(TargetHook, metaclass=ABCMeta):
    """Base of the hooks that own a frozen :class:`Teacher`, CLIP tower or not.

    What the hook does for it:

    - *build*: from its config, on the device of the run, before the first step. Hooks of a run whose configs and
      precision are equal share one module; it is freed after training.
    - *freeze*: evaluation mode, no gradients. It lives in the hook alone: never in the student's state dict, optimizer
      or DDP wrapper, and its outputs enter autograd as constants.
    - *precision*: it runs under autocast, see ``dtype``. A teacher that can ``hold_weights_in(dtype)``, as
      :class:`DenseImageEncoder` can, does so instead of casting them in every step.
    - *normalise*: the hook passes RGB canvases in 0-255 on, which ``teacher.normalize`` makes its input.

    Several such hooks may run in one step; the images go to the device once.

    Args:
        teacher: Config of the teacher.
        dtype: Precision of its forward pass. ``'auto'`` follows the optimizer wrapper: its autocast type if it has one,
            else float32.

    Attributes:
        asks_of_teacher: Attributes without which this hook cannot use a teacher.
        compile_options: What :class:`CompileHook` compiles the teacher's blocks with; None if there is none.
        teacher: The module while training, else None.
    """

    # After the timer hook, so that the teacher counts as computing and not as loading data.
    priority = "LOW"
    asks_of_teacher: tuple[str, ...] = ("normalize",)
    compile_options: dict[str, Any] | None = None

    def __init__(self, teacher: dict, dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto") -> None:
        if dtype not in ("auto", "float32", "bfloat16", "float16"):
            raise ValueError(f"dtype must be 'auto', 'float32', 'bfloat16' or 'float16', got {dtype!r}.")
        if teacher.get("trainable", "none") != "none":
            raise ValueError(f"the teacher is frozen: leave out teacher.trainable={teacher['trainable']!r}.")
        self.teacher_cfg = teacher
        self.dtype = dtype
        self.teacher: Any = None

    def before_train(self, runner: Runner) -> None:
        """Settle device and precision, and build the teacher."""
        self.settle(runner)
        self.build_teacher(runner)

    def settle(self, runner: Runner) -> None:
        """Settle on which device and in which precision the teacher runs."""
        self.device = torch.device(get_device())
        self.autocast_dtype = self._autocast_dtype(runner)

    def build_teacher(self, runner: Runner) -> None:
        """Build the teacher on the runner's device, or share that of another hook.

        Raises:
            ValueError: If the teacher lacks something that this hook asks for.
        """
        self.teacher = self._shared_teacher(runner)
        if self.teacher is None:
            # Whenever it is built, and whether at all, must not show in what the run draws.
            with torch.random.fork_rng(devices=[]):
                self.teacher = MODELS.build(self.teacher_cfg)
        self.teacher.to(self.device).eval().requires_grad_(False)
        missing = [name for name in self.asks_of_teacher if not hasattr(self.teacher, name)]
        if missing:
            raise ValueError(
                f"{type(self).__name__} needs a teacher with {', '.join(self.asks_of_teacher)}, and "
                f"{type(self.teacher).__name__} has no {missing[0]!r}: see docs/extending.md."
            )
        if self.autocast_dtype is not torch.float32 and hasattr(self.teacher, "hold_weights_in"):
            self.teacher.hold_weights_in(self.autocast_dtype)
        if self.compile_options is not None and hasattr(self.teacher, "compile_blocks"):
            self.teacher.compile_blocks(**self.compile_options)

    def after_train(self, runner: Runner) -> None:
        """Free the teacher."""
        self.teacher = None

    def _shared_teacher(self, runner: Runner) -> nn.Module | None:
        others = (hook for hook in runner.hooks if isinstance(hook, TeacherHook) and hook.teacher is not None)
        wanted = (self.teacher_cfg, self.autocast_dtype)
        return next((hook.teacher for hook in others if (hook.teacher_cfg, hook.autocast_dtype) == wanted), None)

    def _autocast_dtype(self, runner: Runner) -> torch.dtype:
        if self.dtype == "auto":
            dtype = getattr(runner.optim_wrapper, "cast_dtype", None)
            return dtype or torch.float32
        return getattr(torch, self.dtype)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Write the targets into ``data_batch['data_samples']``."""
        if data_batch is None:
            return
        images = data_batch["inputs"]
        if not isinstance(images, Tensor):
            images = torch.stack([image.to(self.device, non_blocking=True) for image in images])
        # Left on the device for the hooks that follow and for the student's preprocessor.
        data_batch["inputs"] = images = images.to(self.device, non_blocking=True)
        with self.autocast():
            self.process(images, data_batch["data_samples"])

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Run a block without gradients and in the teacher's precision."""
        enabled = self.autocast_dtype is not torch.float32
        with torch.no_grad(), torch.autocast(self.device.type, dtype=self.autocast_dtype, enabled=enabled):
            yield

    def process(self, canvases: Tensor, data_samples: Sequence[RegionDataSample]) -> None:
        """Give the teacher its images; the default turns all into what :meth:`write_targets` takes.

        Args:
            canvases: As the data loader gives them, BGR canvases (B, 3, S, S) uint8, on the device.
            data_samples: B samples.
        """
        self.write_targets(canvases.flip(1).float(), data_samples)

    @abstractmethod
    def write_targets(self, images: Tensor, data_samples: Sequence[RegionDataSample]) -> None:
        """Compute the targets of this step and write them.

        Args:
            images: RGB canvases (B, 3, S, S), float32 in 0-255.
            data_samples: B samples.
        """
