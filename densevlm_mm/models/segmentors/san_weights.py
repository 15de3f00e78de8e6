"""From an open_clip CLIP to the parts that mmseg's SAN cuts it into."""

import re
from collections.abc import Mapping
from typing import Any

from mmseg.models import VisionTransformer
from mmseg.models.decode_heads.san_head import RecWithAttnbias
from mmseg.models.text_encoder.clip_text_encoder import QuickGELU
from open_clip.transformer import VisionTransformer as OpenClipVisionTransformer
from torch import Tensor, nn

from densevlm_mm.models.clip import ModelName, load_visual
from densevlm_mm.models.clip.loading import load_strictly

IMAGE_ENCODER = "image_encoder."
RECOGNITION = "decode_head.rec_with_attnbias."
TEXT_ENCODER = "text_encoder."

# Outside the blocks; `visual.proj` is transposed as well.
_PLAIN_NAMES = {
    "visual.class_embedding": f"{IMAGE_ENCODER}cls_token",
    "visual.positional_embedding": f"{IMAGE_ENCODER}pos_embed",
    "visual.conv1.weight": f"{IMAGE_ENCODER}patch_embed.projection.weight",
    "visual.ln_pre.weight": f"{IMAGE_ENCODER}ln_pre.weight",
    "visual.ln_pre.bias": f"{IMAGE_ENCODER}ln_pre.bias",
    "visual.ln_post.weight": f"{RECOGNITION}ln_post.weight",
    "visual.ln_post.bias": f"{RECOGNITION}ln_post.bias",
    "visual.proj": f"{RECOGNITION}proj.weight",
    "token_embedding.weight": f"{TEXT_ENCODER}token_embedding.weight",
    "positional_embedding": f"{TEXT_ENCODER}positional_embedding",
    "text_projection": f"{TEXT_ENCODER}text_projection",
    "logit_scale": f"{TEXT_ENCODER}logit_scale",
    "ln_final.weight": f"{TEXT_ENCODER}ln_final.weight",
    "ln_final.bias": f"{TEXT_ENCODER}ln_final.bias",
}
_BLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(ln_1|attn|ln_2|mlp\.c_fc|mlp\.c_proj)\.(.+)")
# Inside a block: mmseg's own encoder layer, and mmcv's BaseTransformerLayer (recognition head, text tower).
_ENCODER_LAYER = {
    "ln_1": "ln1",
    "attn": "attn.attn",
    "ln_2": "ln2",
    "mlp.c_fc": "ffn.layers.0.0",
    "mlp.c_proj": "ffn.layers.1",
}
_BASE_LAYER = {
    "ln_1": "norms.0",
    "attn": "attentions.0.attn",
    "ln_2": "norms.1",
    "mlp.c_fc": "ffns.0.layers.0.0",
    "mlp.c_proj": "ffns.0.layers.1",
}


def to_mmseg_layout(state_dict: Mapping[str, Tensor], num_encoder_blocks: int) -> dict[str, Tensor]:
    """Rename an OpenAI-type CLIP from open_clip's layout to that of mmseg's SAN.

    Args:
        state_dict: Image tower (``visual.*``), with or without the text tower, as :func:`read_state_dict` returns it.
        num_encoder_blocks: How many of the image tower's blocks go to ``image_encoder``; the others, final norm and
            projection go to ``decode_head.rec_with_attnbias``. SAN: 9 of 12 for B/16, 18 of 24 for L/14.

    Returns:
        One entry for every entry of ``state_dict``.

    Raises:
        ValueError: If a key is not one of an OpenAI-type ViT, or the split leaves a side without blocks.
    """
    keys = [(key, _BLOCK.fullmatch(key)) for key in state_dict]
    foreign = [key for key, block in keys if block is None and key not in _PLAIN_NAMES]
    if foreign:
        raise ValueError(
            f"SAN is built of OpenAI-type vision transformers in open_clip's layout, which has no {foreign[0]!r} "
            f"({len(foreign)} such keys): EVA-02, ResNet, ConvNeXt and timm towers do not fit"
        )
    num_blocks = len({block[2] for _, block in keys if block and block[1]})
    if not 0 < num_encoder_blocks < num_blocks:
        raise ValueError(
            f"an image tower of {num_blocks} blocks cannot be split after block {num_encoder_blocks}: "
            f"use 1 to {num_blocks - 1}"
        )
    converted = {}
    for key, block in keys:
        value = state_dict[key]
        if key == "visual.proj":
            value = value.t().contiguous()
        elif key == "visual.class_embedding":
            value = value[None, None]
        elif key == "visual.positional_embedding":
            value = value[None]
        converted[_block_name(block, num_encoder_blocks) if block else _PLAIN_NAMES[key]] = value
    return converted


def _block_name(block: re.Match[str], num_encoder_blocks: int) -> str:
    is_visual, index, part, parameter = block[1], int(block[2]), block[3], block[4]
    if is_visual and index < num_encoder_blocks:
        return f"{IMAGE_ENCODER}layers.{index}.{_ENCODER_LAYER[part]}.{parameter}"
    if is_visual:
        return f"{RECOGNITION}layers.{index - num_encoder_blocks}.{_BASE_LAYER[part]}.{parameter}"
    return f"{TEXT_ENCODER}transformer.{index}.{_BASE_LAYER[part]}.{parameter}"


def load_clip_image_tower(
    image_encoder: VisionTransformer,
    recognition: RecWithAttnbias,
    model_name: ModelName | None,
    checkpoint: str,
    trust: bool = False,
) -> None:
    """Load a CLIP image tower into SAN's image encoder and recognition head, completely or not at all.

    Args:
        image_encoder: The first blocks.
        recognition: The remaining blocks, final norm and projection.
        model_name: As :func:`resolve_model` takes it.
        checkpoint: As :func:`resolve_model` takes it: a release, an exported encoder, or a checkpoint of
            ``tools/train.py``; 'random' for random weights.
        trust: See :func:`read_state_dict`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file does not hold this architecture, if mmseg's parts are configured for another one, or if
            the weights were trained for another dense path.
    """
    visual: Any = load_visual(model_name, checkpoint, trust=trust)
    visual.encoder_parts.check_ordinary(checkpoint, "SAN")
    image_encoder.preprocess_cfg = visual.preprocess_cfg
    _check_architecture(visual, image_encoder, recognition)
    state_dict = {f"visual.{key}": value for key, value in visual.state_dict().items()}
    converted = to_mmseg_layout(state_dict, len(image_encoder.layers))
    for prefix, module in ((IMAGE_ENCODER, image_encoder), (RECOGNITION, recognition)):
        part = {key.removeprefix(prefix): value for key, value in converted.items() if key.startswith(prefix)}
        load_strictly(module, part, source=f"checkpoint {checkpoint!r}", target=f"SAN's {prefix.rstrip('.')}")


def _check_architecture(visual: nn.Module, image_encoder: VisionTransformer, recognition: RecWithAttnbias) -> None:
    """Compare what shapes of weights do not tell: heads, activation, and how the blocks are shared out."""
    name = getattr(visual, "model_name", "the checkpoint")
    if not isinstance(visual, OpenClipVisionTransformer) or visual.pool_type != "tok" or visual.attn_pool is not None:
        raise ValueError(
            f"SAN's recognition head continues OpenAI-type ViTs that pool by a class token, {name!r} is none: use e.g. "
            "ViT-B-16-quickgelu, or image_encoder=dict(type='TowerTaps') for towers that pool by the mean"
        )
    block = visual.transformer.resblocks[0]
    layers = [image_encoder.layers[0].attn.attn, recognition.layers[0].attentions[0].attn]
    quick_gelu = [isinstance(_activation(part.layers[0]), QuickGELU) for part in (image_encoder, recognition)]
    facts: list[tuple[str, Any, Any]] = [
        ("blocks", len(visual.transformer.resblocks), len(image_encoder.layers) + len(recognition.layers)),
        ("attention heads", block.attn.num_heads, [layer.num_heads for layer in layers]),
        ("width", visual.conv1.out_channels, [layer.embed_dim for layer in layers]),
        ("patch size", visual.patch_size[0], image_encoder.patch_size),
        ("image size", visual.image_size[0], image_encoder.img_size[0]),
        ("QuickGELU", type(block.mlp.gelu).__name__ == "QuickGELU", quick_gelu),
    ]
    for fact, of_clip, of_san in facts:
        if any(value != of_clip for value in (of_san if isinstance(of_san, list) else [of_san])):
            raise ValueError(
                f"{name!r} has {fact} {of_clip}, the config of SAN (image_encoder, decode_head.maskgen_cfg) says "
                f"{of_san}: take the base config of this architecture (configs/_base_/models/san_*.py)"
            )


def _activation(layer: Any) -> nn.Module:
    ffn = layer.ffn if hasattr(layer, "ffn") else layer.ffns[0]
    return ffn.layers[0][1]
