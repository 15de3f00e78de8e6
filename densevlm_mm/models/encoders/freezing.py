"""Which parameters of an image tower train."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from densevlm_mm.models.encoders.towers import Tower

MODES = ("none", "blocks", "query_value", "all")


def freeze(
    tower: Tower, trainable: str, unlocked_groups: int | None = None, train_pool_positions: bool = False
) -> None:
    """Set ``requires_grad`` of a tower's parameters.

    'none' freezes everything. 'blocks' trains transformer blocks (convolutional towers: stages) and nothing else:
    patch, position and class embeddings, final norm and projection stay as they are, and so do batch norms.
    'query_value' trains the weights (not the biases) of every block's query and value projection (CAT-Seg). 'all'
    trains everything. Parameters that the dense path never reads - the last block's query and key - are frozen in
    every mode: a zero gradient would not keep weight decay from shrinking them.

    Args:
        tower: The adapter.
        trainable: One of 'none', 'blocks', 'query_value', 'all'.
        unlocked_groups: With 'blocks', train only the last so many blocks; None trains all.
        train_pool_positions: With 'blocks', train the position embedding of a ResNet's pooling attention too.

    Raises:
        ValueError: For an unknown mode, an impossible number of groups, or a tower without what is asked for.
    """
    if trainable not in MODES:
        raise ValueError(f"trainable must be one of {MODES}, got {trainable!r}")
    if unlocked_groups is not None and trainable != "blocks":
        raise ValueError(f"unlocked_groups={unlocked_groups} needs trainable='blocks', got trainable={trainable!r}")
    if unlocked_groups is not None and not 1 <= unlocked_groups <= tower.num_blocks:
        raise ValueError(f"unlocked_groups must be in 1..{tower.num_blocks}, got {unlocked_groups}")
    if train_pool_positions and trainable != "blocks":
        raise ValueError(f"train_pool_positions=True needs trainable='blocks', got trainable={trainable!r}")
    if trainable == "none":
        tower.visual.requires_grad_(False)
        return
    # First of all: it makes query, key and value of a fused projection parameters of their own.
    frozen = tower.split_unused()
    # Some towers have parameters that never train (fixed sine-cosine position embeddings).
    frozen |= {p for p in tower.visual.parameters() if not p.requires_grad}
    tower.visual.requires_grad_(False)
    if trainable == "query_value":
        for parameter in tower.query_value_weights() - frozen:
            parameter.requires_grad_(True)
        return
    modules = [tower.visual] if trainable == "all" else tower.groups()[-(unlocked_groups or tower.num_blocks) :]
    if trainable == "blocks":
        frozen |= {p for m in tower.visual.modules() if isinstance(m, _BatchNorm) for p in m.parameters()}
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad_(parameter not in frozen)
    for parameter in tower.pool_positions() if train_pool_positions else ():
        parameter.requires_grad_(True)


def keep_in_eval(visual: nn.Module, mode: bool) -> None:
    """Put a tower in eval mode: no dropout, no stochastic depth, frozen batch statistics.

    Args:
        visual: The tower.
        mode: True in training: batch norms whose own parameters train then collect statistics.
    """
    visual.eval()
    for module in visual.modules():
        if isinstance(module, _BatchNorm) and module.affine and module.weight.requires_grad:
            module.train(mode)
