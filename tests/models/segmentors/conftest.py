"""Small SANs: over an OpenAI-type ViT of three blocks, and over the TinyScenes tower."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from open_clip import CLIP
from torch import nn

from densevlm_mm.models.text import ClassEmbeddings

VIT = dict(
    embed_dim=16,
    quick_gelu=True,
    vision_cfg=dict(image_size=32, layers=3, width=32, head_width=16, patch_size=8),
    text_cfg=dict(context_length=77, vocab_size=64, width=16, heads=2, layers=2),
)
CLASSES = ("boat", "cow", "car", "sky")


@pytest.fixture
def segmentation_scope(_default_scope) -> None:
    """The scope of segmentation configs, with the segmentation parts registered."""
    import densevlm_mm.segmentation  # noqa: F401

    init_default_scope("mmseg")


@pytest.fixture
def make_class_embeddings() -> Callable[..., ClassEmbeddings]:
    def make(classes: tuple[str, ...] = CLASSES, dim: int = 16, model: str = "hf-hub:a/vit") -> ClassEmbeddings:
        embeddings = torch.randn(len(classes), dim, generator=torch.Generator().manual_seed(len(classes)))
        settings = dict(templates="vild14", normalization="class", fingerprint="")
        return ClassEmbeddings("test", classes, None, embeddings, model, **settings)

    return make


@pytest.fixture
def vit_cfg() -> dict[str, Any]:
    return VIT


@pytest.fixture
def clip() -> nn.Module:
    """A random CLIP whose biases, norms and embeddings all count."""
    generator = torch.Generator().manual_seed(0)
    model = CLIP(**VIT).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise * (0.3 if parameter.ndim < 2 else 0.5 * parameter[0].numel() ** -0.5))
    return model


@pytest.fixture
def clip_file(clip: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "clip.pt"
    torch.save(clip.state_dict(), path)
    return path


@pytest.fixture
def decode_head_cfg() -> dict[str, Any]:
    """All but ``maskgen_cfg``, for towers of width 32."""
    return dict(
        type="OpenVocabularySANHead",
        deep_supervision_idxs=[1],
        san_cfg=dict(
            in_channels=3,
            clip_channels=32,
            embed_dims=24,
            patch_size=8,
            num_queries=5,
            input_size=(64, 64),
            fusion_index=[0, 1],
            cfg_encoder=dict(num_encode_layer=2, num_heads=2, mlp_ratio=2),
            cfg_decoder=dict(num_heads=2, num_layers=1, embed_channels=16, mlp_channels=16, num_mlp=2, rescale=True),
            norm_cfg=dict(type="LN", eps=1e-6),
        ),
        train_cfg=dict(
            num_points=64,
            oversample_ratio=3.0,
            importance_sample_ratio=0.75,
            assigner=dict(
                type="HungarianAssigner",
                match_costs=[
                    dict(type="ClassificationCost", weight=2.0),
                    dict(type="CrossEntropyLossCost", weight=5.0, use_sigmoid=True),
                    dict(type="DiceCost", weight=5.0, pred_act=True, eps=1.0),
                ],
            ),
        ),
        loss_decode=[
            dict(type="CrossEntropyLoss", loss_name="loss_cls_ce", loss_weight=2.0),
            dict(type="CrossEntropyLoss", use_sigmoid=True, loss_name="loss_mask_ce", loss_weight=5.0),
            dict(
                type="DiceLoss", ignore_index=None, naive_dice=True, eps=1, loss_name="loss_mask_dice", loss_weight=5.0
            ),
        ],
    )


@pytest.fixture
def preprocessor_cfg() -> dict[str, Any]:
    mean, std = [122.7709, 116.7460, 104.0937], [68.5005, 66.6322, 70.3232]
    return dict(type="SegDataPreProcessor", mean=mean, std=std, size=(64, 64), test_cfg=dict(size_divisor=32))


@pytest.fixture
def san_config(
    segmentation_scope, make_class_embeddings, clip_file, vit_cfg, decode_head_cfg, preprocessor_cfg
) -> dict[str, Any]:
    """SAN over the small ViT: two blocks encode, one recognises."""
    quick_gelu, norm = dict(type="QuickGELU"), dict(type="LN", eps=1e-5)
    recognition = dict(sos_token_num=5, num_layers=1, embed_dims=32, num_heads=2, out_dims=16)
    return dict(
        type="OpenVocabularySAN",
        data_preprocessor=preprocessor_cfg,
        clip=dict(model_name=vit_cfg, checkpoint=str(clip_file)),
        class_embeddings=make_class_embeddings(),
        encoder_resolution=0.5,
        image_encoder=dict(
            type="VisionTransformer",
            img_size=(32, 32),
            patch_size=8,
            patch_pad=0,
            patch_bias=False,
            embed_dims=32,
            num_layers=2,
            num_heads=2,
            out_origin=True,
            out_indices=(1,),
            output_cls_token=True,
            pre_norm=True,
            norm_cfg=norm,
            act_cfg=quick_gelu,
            interpolate_mode="bicubic",
            frozen_exclude=["pos_embed"],
        ),
        decode_head=dict(decode_head_cfg, maskgen_cfg=dict(recognition, act_cfg=quick_gelu, norm_cfg=norm)),
    )


@pytest.fixture
def tower_san_config(
    segmentation_scope, make_class_embeddings, decode_head_cfg, preprocessor_cfg, request
) -> dict[str, Any]:
    """SAN over the TinyScenes student: one block encodes, one recognises."""
    student = str(request.config.rootpath / "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors")
    encoder = dict(type="densevlm_mm.DenseImageEncoder", model_name="TinyScenes-S", checkpoint=student)
    decode_head_cfg["san_cfg"]["clip_channels"] = 96
    decode_head_cfg["san_cfg"]["cfg_decoder"]["num_heads"] = 1
    return dict(
        type="OpenVocabularySAN",
        data_preprocessor=preprocessor_cfg,
        class_embeddings=make_class_embeddings(dim=128, model="TinyScenes-S"),
        asymetric_input=False,
        image_encoder=dict(type="TowerTaps", encoder=encoder, out_indices=(0,)),
        decode_head=dict(decode_head_cfg, maskgen_cfg=dict(type="MaskPooledRecognition")),
    )


@pytest.fixture
def make_batch() -> Callable[..., dict[str, Any]]:
    """Images with labels as mmseg's loaders give them; without labels: for prediction."""

    def make(*labels: torch.Tensor | None, size: tuple[int, int] = (64, 64), count: int = 1) -> dict[str, Any]:
        from mmseg.structures import SegDataSample

        generator = torch.Generator().manual_seed(3)
        data: dict[str, Any] = dict(inputs=[], data_samples=[])
        for label in labels or (None,) * count:
            height, width = size if label is None else label.shape
            data["inputs"].append(torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8))
            sample = SegDataSample(metainfo=dict(ori_shape=(height, width), img_shape=(height, width)))
            if label is not None:
                sample.gt_sem_seg = PixelData(data=label[None].long())
            data["data_samples"].append(sample)
        return data

    return make


@pytest.fixture
def quadrants() -> torch.Tensor:
    """Labels (64, 64): classes 0, 1 and 3 and an ignored quarter."""
    labels = torch.zeros(64, 64, dtype=torch.long)
    labels[:32, 32:], labels[32:, :32], labels[32:, 32:] = 1, 3, 255
    return labels
