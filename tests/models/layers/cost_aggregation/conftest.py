"""The aggregator's formulas, written with loops over classes, windows, heads and tokens."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@pytest.fixture
def reference() -> SimpleNamespace:
    return SimpleNamespace(
        randomise=randomise,
        spatial=spatial_reference,
        classwise=class_reference,
        decoder=decoder_reference,
    )


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter, zero-initialised tokens and norms too, a value of its own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            parameter.copy_(noise / fan_in**0.5 if parameter.ndim > 1 else 1 + 0.3 * noise)
    return module


def concat_linear(layer: nn.Linear, x: Tensor, guidance: Tensor) -> Tensor:
    return torch.cat([x, guidance], dim=-1) @ layer.weight.T + layer.bias


def swin_block_reference(block: nn.Module, x_hwC: Tensor, guidance_hwC: Tensor, window: int, shift: int) -> Tensor:
    """One class of one image."""
    height, width, channels = x_hwC.shape
    y = block.norm1(x_hwC)
    heads = block.num_heads
    d = channels // heads
    out = torch.zeros_like(y)
    # A window of the shifted map holds the original cells (r + shift) mod h; cells of it see each other if they are
    # neighbours in the original map, that is, if neither or both have wrapped around.
    for top in range(0, height, window):
        for left in range(0, width, window):
            cells = [
                ((r + shift) % height, (c + shift) % width, r + shift >= height, c + shift >= width)
                for r in range(top, top + window)
                for c in range(left, left + window)
            ]
            tokens = torch.stack([y[r, c] for r, c, *_ in cells])
            guides = torch.stack([guidance_hwC[r, c] for r, c, *_ in cells])
            q, k = concat_linear(block.q, tokens, guides), concat_linear(block.k, tokens, guides)
            v = tokens @ block.v.weight.T + block.v.bias
            blocked = torch.tensor([[100.0 if a[2:] != b[2:] else 0.0 for b in cells] for a in cells])
            attended = []
            for head in range(heads):
                part = slice(head * d, (head + 1) * d)
                weights = (q[:, part] * d**-0.5 @ k[:, part].T - blocked).softmax(dim=-1)
                attended.append(weights @ v[:, part])
            result = torch.cat(attended, dim=-1) @ block.proj.weight.T + block.proj.bias
            for (r, c, *_), value in zip(cells, result, strict=True):
                out[r, c] = value
    x = x_hwC + out
    first, _, second = block.mlp
    hidden = block.norm2(x) @ first.weight.T + first.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    return x + hidden @ second.weight.T + second.bias


def spatial_reference(module: nn.Module, x_ThwC: Tensor, guidance_hwC: Tensor, window: int, shift: int) -> Tensor:
    guidance = module.guidance_norm(guidance_hwC)
    first, second = module.blocks
    return torch.stack(
        [
            swin_block_reference(
                second, swin_block_reference(first, x_hwC, guidance, window, 0), guidance, window, shift
            )
            for x_hwC in x_ThwC
        ]
    )


def class_reference(module: nn.Module, x_ThwC: Tensor, guidance_TC: Tensor, pool: int, num_tokens: int) -> Tensor:
    """One image; the sequence is filled up for real."""
    classes, height, width, channels = x_ThwC.shape
    pooled = x_ThwC.reshape(classes, height // pool, pool, width // pool, pool, channels).mean(dim=(2, 4))
    pads = num_tokens - classes
    guidance = torch.cat([guidance_TC, module.pad_guidance[0].expand(pads, -1)])
    d = channels // module.num_heads
    refined = torch.zeros_like(pooled)
    for row in range(pooled.shape[1]):
        for column in range(pooled.shape[2]):
            x = torch.cat([pooled[:, row, column], module.pad_token[0].expand(pads, -1)])
            y = module.norm1(x)
            q, k = concat_linear(module.q, y, guidance), concat_linear(module.k, y, guidance)
            v = y @ module.v.weight.T + module.v.bias
            q, k = (torch.where(part > 0, part + 1, part.exp()) for part in (q, k))
            attended = []
            for head in range(module.num_heads):
                part = slice(head * d, (head + 1) * d)
                similarity = q[:, part] @ k[:, part].T  # (L, S)
                attended.append(similarity @ v[:, part] / (similarity.sum(dim=1, keepdim=True) + 1e-6))
            x = x + torch.cat(attended, dim=-1)
            first, _, second = module.mlp
            hidden = (module.norm2(x) @ first.weight.T + first.bias).clamp(min=0)
            x = x + hidden @ second.weight.T + second.bias
            refined[:, row, column] = x[:classes]
    return x_ThwC + enlarge_with_corners(refined, (height, width))


def enlarge_with_corners(maps_ThwC: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, the corner cells' centres at the corners."""
    for axis, new in ((1, size[0]), (2, size[1])):
        old = maps_ThwC.shape[axis]
        rows = []
        for index in range(new):
            where = index * (old - 1) / (new - 1)
            low = min(int(where), old - 1)
            high = min(low + 1, old - 1)
            share = where - low
            rows.append((1 - share) * maps_ThwC.select(axis, low) + share * maps_ThwC.select(axis, high))
        maps_ThwC = torch.stack(rows, dim=axis)
    return maps_ThwC


def decoder_reference(decoder: nn.Module, x_ThwC: Tensor, guidance: list[Tensor]) -> Tensor:
    """One image, guidance (C_i, h_i, w_i); (T, 4h, 4w)."""
    logits = []
    for x_hwC in x_ThwC:
        maps = x_hwC.permute(2, 0, 1)[None]
        for step, guiding in zip(decoder.steps, guidance, strict=True):
            maps = F.conv_transpose2d(maps, step.up.weight, step.up.bias, stride=2)
            maps = torch.cat([maps, guiding[None]], dim=1)
            for conv, norm in ((step.conv1, step.norm1), (step.conv2, step.norm2)):
                maps = F.conv2d(maps, conv.weight, padding=1)
                groups = max(1, maps.shape[1] // 16)
                maps = F.group_norm(maps, groups, norm.weight, norm.bias).clamp(min=0)
        logits.append(F.conv2d(maps, decoder.head.weight, decoder.head.bias, padding=1)[0, 0])
    return torch.stack(logits)
