"""A plain program for the same training, to measure ours against.

It does what is known of the published program's way of working, written from that description and not from its code:
a float32 canvas and a float32 crop of every region are made of each image, and the crops are never looked at; attention
is computed by a whole matrix of weights; rotary embeddings as timm does them; the teacher sees every image in every
epoch; nothing is fused or cached, and the loss is read in every step. Towers, weights and loss are the same as ours.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from timing import DEVICE
from timm.layers import apply_rot_embed_cat
from torch import Tensor
from torchvision.transforms.functional import normalize, to_tensor
from training_step import TrainingStep

from densevlm_mm.datasets.transforms.grid_regions import cell_boxes, cell_table
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.layers import pool_boxes

MAX_REGIONS = 36


class PlainImages:
    """Canvas, boxes and crops of images.

    Args:
        folder: With images.
        size: Canvas in pixels.
        crop_size: Side of a crop in pixels: the teacher's native size.
        grid: Rows and columns of the regions.
    """

    def __init__(self, folder: Path, size: int, crop_size: int, grid: tuple[int, int] = (6, 6)) -> None:
        self.paths = sorted(folder.glob("*.jpg"))
        self.size, self.crop_size = size, crop_size
        table = cell_table("all", 6)
        self.cells = cell_boxes(table[(table[:, :2] == grid).all(axis=1)])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return canvas (3, S, S), boxes (R, 4) as fractions of it, and crops (36, 3, C, C)."""
        image = to_tensor(Image.open(self.paths[index]).convert("RGB"))
        height, width = image.shape[1:]
        boxes = torch.from_numpy(self.cells).float()
        crops = torch.zeros(MAX_REGIONS, 3, self.crop_size, self.crop_size)
        for crop, box in zip(crops, boxes, strict=False):
            x1, y1, x2, y2 = (box * torch.tensor([width, height, width, height])).round().int().tolist()
            crop.copy_(self._fit(image[:, y1:y2, x1:x2], self.crop_size))
        longest = max(height, width)
        return self._fit(image, self.size), boxes * torch.tensor([width, height, width, height]) / longest, crops

    @staticmethod
    def _fit(image: Tensor, size: int) -> Tensor:
        """Resize the longer side, pad with black, normalise."""
        height, width = image.shape[1:]
        scale = size / max(height, width)
        shape = (round(height * scale), round(width * scale))
        resized = F.interpolate(image[None], shape, mode="bicubic", align_corners=False)[0].clamp(0, 1)
        padded = F.pad(resized, (0, size - shape[1], 0, size - shape[0]))
        return normalize(padded, [0.481, 0.458, 0.408], [0.269, 0.261, 0.276])


class PlainStep:
    """One training iteration on the towers and the loss of a :class:`TrainingStep`, which are left as they were.

    Args:
        ours: The step to compare with.
        teacher_size: The teacher's canvas in pixels.
    """

    def __init__(self, ours: TrainingStep, teacher_size: int) -> None:
        self.teacher, self.model = ours.hook.teacher, ours.model
        self.teacher_text, self.dtype, self.teacher_size = ours.hook.text, ours.dtype, teacher_size
        self.optimizer = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-5)

    def __call__(self, batch: list[tuple[Tensor, Tensor, Tensor]]) -> float:
        """Train on canvases and boxes; the crops come along for nothing."""
        canvases = torch.stack([canvas for canvas, _, _ in batch]).to(DEVICE)
        torch.stack([crops for _, _, crops in batch]).to(DEVICE)
        boxes = [boxes for _, boxes, _ in batch]
        with torch.autocast(DEVICE.type, dtype=self.dtype, enabled=self.dtype is not torch.float32):
            with torch.no_grad():
                images = F.interpolate(canvases, (self.teacher_size, self.teacher_size), mode="bicubic")
                regions = F.normalize(pool_boxes(plain_dense(self.teacher, images), boxes), dim=-1)
                teacher_logits = regions.float() @ self.teacher_text.T
            features = pool_boxes(plain_dense(self.model.encoder, canvases), boxes)
            index = torch.arange(len(boxes)).repeat_interleave(torch.tensor([len(b) for b in boxes])).to(DEVICE)
            inputs = (self.model.text, self.model.thing_mask, teacher_logits, index, len(boxes))
            loss = self.model.loss_module(features, *inputs)["loss"]
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def plain_dense(encoder: DenseImageEncoder, images: Tensor) -> Tensor:
    """Return the dense map (B, D, h, w) of an EVA-02 tower, its attention by a whole matrix of weights."""
    tower = encoder._tower
    trunk = tower.trunk
    tokens, grid, _ = tower.embed_tokens(images)
    rope = None if tower._rotary is None else tower._rotary._rope.get_embed(list(grid)).to(images.device)
    for block in trunk.blocks[:-1]:
        tokens = tokens + _attend(block.attn, block.norm1(tokens), rope)
        tokens = tokens + block.mlp(block.norm2(tokens))
    last, patches = trunk.blocks[-1], tokens[:, 1:]
    values = last.attn.proj(last.attn.norm(last.attn.v_proj(last.norm1(patches))))
    patches = patches + values
    patches = patches + last.mlp(last.norm2(patches))
    maps = encoder.visual.head(trunk.head(trunk.norm(patches)))
    return F.normalize(maps.float(), dim=-1).transpose(1, 2).unflatten(2, grid)


def _attend(attention: torch.nn.Module, tokens: Tensor, rope: Tensor | None) -> Tensor:
    layers = (attention.q_proj, attention.k_proj, attention.v_proj)
    query, key, values = (
        layer(tokens).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2).contiguous() for layer in layers
    )
    if rope is not None:
        query, key = (
            torch.cat([x[:, :, :1], apply_rot_embed_cat(x[:, :, 1:], rope)], dim=2).to(values.dtype)
            for x in (query, key)
        )
    weights = ((query * attention.scale) @ key.transpose(-2, -1)).softmax(dim=-1)
    return attention.proj(attention.norm((weights @ values).transpose(1, 2).flatten(2)))
