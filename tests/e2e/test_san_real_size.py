"""SAN at its real size: weights in open_clip's layout, one training iteration, one prediction over ADE20K-847."""

import copy
import resource

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from densevlm_mm.models.clip.architecture import resolve_architecture
from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.vocabulary import Vocabulary

pytestmark = pytest.mark.slow
MODEL = "ViT-B-16-quickgelu"
GIGABYTES = 20


def embeddings(vocabulary: str) -> ClassEmbeddings:
    classes = Vocabulary.load(vocabulary).classes
    matrix = torch.randn(len(classes), 512, generator=torch.Generator().manual_seed(0))
    settings = dict(templates="vild14", normalization="class", fingerprint="")
    return ClassEmbeddings(vocabulary, classes, None, matrix, MODEL, **settings)


def test_vit_b16_trains_and_predicts(request, tmp_path) -> None:
    from mmengine.structures import PixelData
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample

    import densevlm_mm.segmentation  # noqa: F401

    init_default_scope("mmseg")
    torch.manual_seed(0)
    clip = resolve_architecture(MODEL).build_clip()
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    cfg = Config.fromfile(request.config.rootpath / "configs/san/san_vit-b16_densevlm_80k.py")
    cfg.model.clip.checkpoint = str(tmp_path / "clip.pt")
    cfg.model.class_embeddings, cfg.model.test_class_embeddings = embeddings("coco_stuff_171"), embeddings("ade20k_847")
    model = MODELS.build(cfg.model)
    model.init_weights()
    torch.testing.assert_close(model.decode_head.rec_with_attnbias.proj.weight, clip.visual.proj.t())
    del clip

    labels = torch.randint(0, 171, (1, 10, 10)).repeat_interleave(64, 1).repeat_interleave(64, 2)
    sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
    sample.set_metainfo(dict(ori_shape=(640, 640), img_shape=(640, 640)))
    batch = dict(inputs=[torch.randint(0, 256, (3, 640, 640), dtype=torch.uint8)], data_samples=[sample])
    before = copy.deepcopy(model.decode_head.side_adapter_network.query_embed)
    wrapper = build_optim_wrapper(model, dict(cfg.optim_wrapper, dtype="bfloat16"))
    logged = model.train().train_step(batch, wrapper)
    assert all(torch.isfinite(torch.as_tensor(value)) for value in logged.values())
    assert not torch.equal(model.decode_head.side_adapter_network.query_embed, before)

    model.eval()
    sample = SegDataSample(metainfo=dict(ori_shape=(512, 683), img_shape=(640, 853)))
    image = torch.randint(0, 256, (3, 640, 853), dtype=torch.uint8)
    with torch.no_grad():
        (predicted,) = model.test_step(dict(inputs=[image], data_samples=[sample]))
    assert predicted.seg_logits.data.shape == (847, 512, 683)
    assert int(predicted.pred_sem_seg.data.max()) < 847
    assert predicted.vocabulary_classes == Vocabulary.load("ade20k_847").classes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    assert peak < GIGABYTES, f"{peak:.1f} GB"
