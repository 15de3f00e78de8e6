"""Both ends of a training in one encoder: the initial blocks for global embeddings, the trained ones for dense ones."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from densevlm_mm.models.clip.encoder_parts import DENSE_BLOCKS, select_parts

_TRANSFORMER_BLOCK = re.compile(r"visual\.(?:transformer\.resblocks|trunk\.blocks)\.(\d+)\.(.+)")


def keep_global(initial: Mapping[str, Tensor], trained: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Put the trained blocks beside the initial ones, from the first that differs to the last.

    Args:
        initial: ``visual.*`` of the weights that training started from.
        trained: Likewise after training (or their ensemble), and the encoder's other parameters.
        source: The checkpoint, for messages.

    Returns:
        The initial ``visual.*``, the trained ``dense_blocks.<i>.*`` (counted from the first that differs), and the
        encoder's other parameters as trained.

    Raises:
        ValueError: If the tower is no transformer, nothing differs, or something differs outside of its blocks.
    """
    tower = {name: value for name, value in trained.items() if name.startswith("visual.")}
    blocks = {name: found for name in tower if (found := _TRANSFORMER_BLOCK.fullmatch(name))}
    if not blocks:
        raise ValueError(f"{source}: --keep-global branches at a transformer's blocks, and its tower has none")
    changed = [name for name, value in tower.items() if not torch.equal(value, initial[name])]
    outside = [name for name in changed if name not in blocks]
    if outside:
        raise ValueError(
            f"{source}: --keep-global keeps two sets of blocks, and {outside[0]!r} outside of them was trained too: it "
            "is for encoders trained with trainable='blocks' or 'query_value'"
        )
    if not changed:
        raise ValueError(f"{source}: no weight differs from the initial ones, so that there is nothing to keep apart")
    first = min(int(blocks[name][1]) for name in changed)
    branch = {
        f"{DENSE_BLOCKS}{int(block[1]) - first}.{block[2]}": tower[name]
        for name, block in blocks.items()
        if int(block[1]) >= first
    }
    return {**{name: initial[name] for name in tower}, **branch, **select_parts(trained)}
