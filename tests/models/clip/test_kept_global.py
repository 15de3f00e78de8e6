import pytest
import torch

from densevlm_mm.models.clip.kept_global import keep_global

BLOCKS = "visual.transformer.resblocks."


def tower(**changed: float) -> dict[str, torch.Tensor]:
    names = {f"{BLOCKS}{block}.{part}": 0.0 for block in range(4) for part in ("ln_1.weight", "attn.out_proj.bias")}
    return {name: torch.full((2,), value) for name, value in {**names, "visual.proj": 0.0, **changed}.items()}


def test_blocks_from_the_first_that_differs_are_kept_twice() -> None:
    trained = tower(**{f"{BLOCKS}2.ln_1.weight": 2.0}) | {"value_gate.bias": torch.ones(2)}
    found = keep_global(tower(), trained, "file")
    assert {name for name, value in found.items() if value.any()} == {"dense_blocks.0.ln_1.weight", "value_gate.bias"}
    parts = {f"dense_blocks.{block}.{part}" for block in (0, 1) for part in ("ln_1.weight", "attn.out_proj.bias")}
    assert found.keys() == {*tower(), *parts, "value_gate.bias"}


def test_what_cannot_be_kept_apart_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'visual\.proj' outside of them was trained too"):
        keep_global(tower(), tower(**{"visual.proj": 1.0, f"{BLOCKS}0.ln_1.weight": 1.0}), "file")
    with pytest.raises(ValueError, match="nothing to keep apart"):
        keep_global(tower(), tower(), "file")
    stages = {"visual.layer4.0.conv1.weight": torch.ones(1)}
    with pytest.raises(ValueError, match="its tower has none"):
        keep_global(stages, stages, "file")
