"""CAT-Seg at its published size with random weights: a training step and an A-847 prediction on this machine's CPU."""

import resource
import time
from pathlib import Path

import open_clip
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def test_one_step_and_one_prediction_over_847_classes_fit_into_20_gb(tmp_path) -> None:
    import densevlm_mm.segmentation  # noqa: F401

    init_default_scope("mmseg")
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample

    torch.manual_seed(0)
    checkpoint = tmp_path / "vit_b16_quickgelu.pt"
    torch.save(open_clip.create_model("ViT-B-16-quickgelu").state_dict(), checkpoint)
    config = Config.fromfile(ROOT / "configs/cat_seg/cat-seg_vit-b16_a847.py").model
    config.image_encoder.checkpoint = config.text_encoder.checkpoint = str(checkpoint)
    config.decode_head.aggregator.update(class_chunk_size=57, grad_checkpointing=True)
    model = MODELS.build(config).train()

    start = time.perf_counter()
    labels = torch.randint(0, 171, (1, 384, 384))
    labels[:, :40] = 255
    sample = SegDataSample(metainfo=dict(ori_shape=(384, 384)), gt_sem_seg=PixelData(data=labels))
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(torch.randn(1, 3, 384, 384), [sample], mode="loss")["decode.loss_seg"]
    loss.backward()
    assert torch.isfinite(loss)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(torch.isfinite(p.grad).all() for p in trained)
    assert sum(p.numel() for p in trained) == 25_115_873 - 768**2
    torch.nn.utils.clip_grad_norm_(trained, 0.01)
    torch.optim.AdamW(trained, lr=2e-4).step()
    step_seconds = time.perf_counter() - start
    model.zero_grad()

    start = time.perf_counter()
    image = SegDataSample(metainfo=dict(ori_shape=(683, 1024)))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (result,) = model.eval()(torch.randn(1, 3, 640, 960), [image], mode="predict")
    seconds = time.perf_counter() - start
    assert result.pred_sem_seg.data.shape == (1, 683, 1024)
    assert len(result.vocabulary_classes) == 847
    assert 0 <= result.pred_sem_seg.data.min() <= result.pred_sem_seg.data.max() < 847
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"training step {step_seconds:.0f} s, prediction {seconds:.0f} s, peak {peak:.1f} GB")
    assert peak < 20
