"""What :mod:`gpu_check` checks: each function returns a figure, or raises :class:`CheckError` with one."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from timing import DEVICE
from tiny_training import TinyTraining

import densevlm_mm  # noqa: F401  (before mmdet)
from densevlm_mm.compat.cpu_distributed import adapt_config_to_cpu

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "torchvision", "triton", "mmengine", "mmdet", "mmsegmentation", "timm", "open_clip_torch", "numpy")
# Largest relative difference of a loss of the first steps from the CPU's in float32.
TOLERANCE = dict(float32=0.01, bfloat16=0.05, float16=0.05)


class CheckError(Exception):
    """A check that does not pass; its message is the figure."""


class Settings(NamedTuple):
    """What the checks share.

    Attributes:
        folder: For data and runs.
        small: Whether sizes are those of a test on a CPU.
        reference: Losses of the CPU in float32, of :func:`reference`.
    """

    folder: Path
    small: bool
    reference: list[float] | None = None

    @property
    def training(self) -> TinyTraining:
        """Trainings of 20 steps, or of 4."""
        return TinyTraining(self.folder, *((4, 4) if self.small else (20, 16)))


def reference(settings: Settings) -> str:
    """Losses of the CPU, which the parent asks for with the GPU hidden."""
    return json.dumps(settings.training.losses("reference"))


def versions(settings: Settings) -> str:
    """Versions of what takes part."""
    parts = [f"python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            parts.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            parts.append(f"no {name}")
    if DEVICE.type == "cuda":
        parts.append(f"CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}")
    return ", ".join(parts)


def float32(settings: Settings) -> str:
    """Training in float32 against the CPU."""
    return _against_reference(settings, settings.training.losses("float32"), "float32")


def float16(settings: Settings) -> str:
    """Training in float16 with loss scaling against the CPU in float32."""
    # A scale that the tiny gradients bear from the start: every step is taken, so that losses can be compared.
    losses = settings.training.losses("float16", "float16", lambda cfg: cfg.optim_wrapper.update(init_scale=1024.0))
    return _against_reference(settings, losses, "float16")


def bfloat16(settings: Settings) -> str:
    """Training in bfloat16 against the CPU in float32."""
    return _against_reference(settings, settings.training.losses("bfloat16", "bfloat16"), "bfloat16")


def teacher_cache(settings: Settings) -> str:
    """A run that fills the teacher cache, and one that reads it."""

    def use(cfg: Config) -> None:
        cfg.default_hooks.teacher.cache.path = str(settings.folder / "cache")

    config = "configs/tiny/densevlm_cached.py"
    filling, reading = (settings.training.losses(f"cache_{i}", change=use, config=config) for i in range(2))
    return _compare(reading, filling, 1e-6 if DEVICE.type == "cpu" else 1e-3, "the run that filled it")


def compiled(settings: Settings) -> str:
    """Compiled towers against eager ones, in float32."""
    options: dict[str, Any] = dict(backend="aot_eager") if settings.small else {}
    losses = settings.training.losses("compiled", change=lambda cfg: cfg.update(compile=options or True))
    return _against_reference(settings, losses, "float32")


def resume(settings: Settings) -> str:
    """A run that goes on from its middle against one that never stopped."""
    training = settings.training
    expected = training.losses("whole")
    middle = settings.folder / "whole" / f"iter_{training.steps // 2}.pth"
    found = training.losses("resumed", resume=str(middle))
    return _compare(found, expected, 1e-6 if DEVICE.type == "cpu" else 1e-3, "the whole run")


def operators(settings: Settings) -> str:
    """Operators of mmcv, or of their stand-in, on this device against the CPU."""
    from mmcv.ops import nms, roi_align

    generator = torch.Generator().manual_seed(0)
    corner, size = torch.rand(500, 2, generator=generator) * 200, torch.rand(500, 2, generator=generator) * 50 + 5
    boxes, scores = torch.cat([corner, corner + size], dim=1), torch.rand(500, generator=generator)
    maps = torch.randn(1, 8, 64, 64, generator=generator)
    rois = torch.cat([torch.zeros(500, 1), boxes], dim=1)
    kept = [nms(boxes.to(device), scores.to(device), 0.5)[1].cpu() for device in ("cpu", DEVICE)]
    pooled = [roi_align(maps.to(d), rois.to(d), (7, 7), 0.25, 0, "avg", True).cpu() for d in ("cpu", DEVICE)]
    difference = float((pooled[0] - pooled[1]).abs().max())
    if not torch.equal(*kept) or difference > 1e-4:
        raise CheckError(f"NMS equal: {torch.equal(*kept)}, RoIAlign differs by {difference:.1e}")
    return f"NMS equal, RoIAlign within {difference:.1e}"


def fvit(settings: Settings) -> str:
    """One step and one prediction of F-ViT."""
    import densevlm_mm.detection  # noqa: F401

    init_default_scope("mmdet")
    from mmdet.structures import DetDataSample

    meta = dict(img_shape=(64, 64), ori_shape=(64, 64), pad_shape=(64, 64), scale_factor=(1.0, 1.0))
    boxes = InstanceData(bboxes=torch.tensor([[4.0, 4.0, 40.0, 50.0]]), labels=torch.tensor([0]))
    sample = DetDataSample(metainfo=meta, gt_instances=boxes)
    return _step_and_prediction("fvit_original", [sample, sample], lambda result: result.pred_instances.scores)


def san(settings: Settings) -> str:
    """One step and one prediction of SAN."""
    return _segmentor("san_original")


def cat_seg(settings: Settings) -> str:
    """One step and one prediction of CAT-Seg."""
    return _segmentor("cat_seg_original")


def one_process(settings: Settings) -> str:
    """A distributed run of one process: NCCL on a GPU, gloo on the CPU."""
    training = settings.training
    options = [f"train_dataloader.dataset.dataset.data_root={training.data}", "train_dataloader.batch_size=4"]
    options += ["train_dataloader.num_workers=0", "train_dataloader.persistent_workers=False"]
    options += ["train_dataloader.dataset.dataset.indices=8", "val_cfg=None", "val_dataloader=None"]
    options += ["val_evaluator=None", "default_hooks.logger.interval=1"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1"]
    command = [*launch, "tools/train.py", "configs/tiny/densevlm.py", "--launcher", "pytorch"]
    result = subprocess.run(
        [*command, "--work-dir", str(settings.folder / "one_process"), "--cfg-options", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise CheckError((result.stderr or result.stdout)[-600:])
    return "nccl" if DEVICE.type == "cuda" else "gloo"


def step_8(settings: Settings) -> str:
    """The real step with 8 images: throughput, memory, share of the peak, and whether loading keeps up."""
    return _real_step(settings, 8)


def step_16(settings: Settings) -> str:
    """The real step with 16 images."""
    return _real_step(settings, 16)


def step_compiled(settings: Settings) -> str:
    """The real step, compiled, over the eager one."""
    backend = ["--backend", "aot_eager"] if settings.small else []
    figures = _benchmark(settings, 2 if settings.small else 8, "--compile", *backend)
    return json.dumps(figures["compiled_over_eager"])


CHECKS: dict[str, Callable[[Settings], str]] = {
    check.__name__: check
    for check in (
        versions, float32, float16, bfloat16, teacher_cache, compiled, resume, operators, fvit, san, cat_seg,
        one_process, step_8, step_16, step_compiled,
    )
}  # fmt: skip


def _against_reference(settings: Settings, losses: Sequence[float], dtype: str) -> str:
    if settings.reference is None:
        raise CheckError("there are no losses of the CPU to compare with")
    return _compare(losses, settings.reference, TOLERANCE[dtype], "the CPU in float32")


def _compare(found: Sequence[float], expected: Sequence[float], tolerance: float, whose: str) -> str:
    if len(found) != len(expected):
        raise CheckError(f"{len(found)} steps, not {len(expected)}")
    difference = max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))
    figure = f"{len(found)} losses within {difference:.2e} of {whose} (at most {tolerance:g})"
    if not difference <= tolerance:
        raise CheckError(figure)
    return figure


def _segmentor(name: str) -> str:
    import densevlm_mm.segmentation  # noqa: F401

    init_default_scope("mmseg")
    from mmseg.structures import SegDataSample

    labels = PixelData(data=torch.arange(64).div(8, rounding_mode="floor").expand(1, 64, 64).clone())
    sample = SegDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64)), gt_sem_seg=labels)
    return _step_and_prediction(name, [sample, sample], lambda result: result.pred_sem_seg.data)


def _step_and_prediction(name: str, samples: list[Any], prediction: Callable[[Any], torch.Tensor]) -> str:
    from mmengine.optim import build_optim_wrapper

    cfg = Config.fromfile(ROOT / f"configs/tiny/{name}.py")
    if DEVICE.type == "cpu":
        adapt_config_to_cpu(cfg)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.to(DEVICE).train()
    images = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in samples]
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    logged = model.train_step(dict(inputs=list(images), data_samples=[s.clone() for s in samples]), wrapper)
    loss = float(logged["loss"].detach())
    with torch.no_grad():
        results = model.eval().test_step(dict(inputs=list(images), data_samples=[s.clone() for s in samples]))
    if not torch.isfinite(torch.tensor(loss)) or len(results) != len(samples):
        raise CheckError(f"loss {loss}, {len(results)} predictions")
    return f"loss {loss:.3f}, prediction {tuple(prediction(results[0]).shape)}"


def _real_step(settings: Settings, batch_size: int) -> str:
    figures = _benchmark(settings, 2 if settings.small else batch_size)
    rate, loaders = figures["images_per_second"], min(4, os.cpu_count() or 1)
    loading = 1000 * loaders / figures["data_ms_per_image"]
    verdict = "keeps up" if loading >= rate else "does NOT keep up"
    return (
        f"{rate} images/s, {figures['peak_memory_gb']} GB, {figures['share_of_gemm_peak']} of the GEMM peak; "
        f"{loaders} loading processes give {loading:.0f} images/s: {verdict}"
    )


def _benchmark(settings: Settings, batch_size: int, *options: str) -> dict[str, Any]:
    tiny = ["--student", "TinyScenes-S", "--teacher", "TinyScenes-T", "--size", "64", "--rounds", "1"]
    command = [sys.executable, "tools/benchmarks/pretrain_step.py", "--batch-size", str(batch_size), *options]
    result = subprocess.run(
        [*command, *(tiny if settings.small else [])], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise CheckError(result.stderr[-600:])
    return json.loads(result.stdout.strip().splitlines()[-1])
