import pytest
import torch

from densevlm_mm.models.clip.checkpoint_layouts import to_open_clip_layout
from densevlm_mm.models.clip.ensemble_alpha import EnsembleAlpha, block_number


def shares(alpha: object, count: int) -> list[float]:
    names = [f"encoder.visual.trunk.blocks.{block}.norm1.weight" for block in range(count)]
    return list(EnsembleAlpha.parse(alpha).by_name([*names, "encoder.visual.trunk.norm.weight"]).values())


@pytest.mark.parametrize(
    ("count", "blocks"),
    [
        (1, [0.2]),
        (2, [0.2, 0.75]),
        (12, [0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75]),
    ],
)
def test_blocks_go_from_first_to_last_in_equal_steps(count: int, blocks: list[float]) -> None:
    found = shares(dict(first=0.2, last=0.75), count)
    assert found == pytest.approx([*blocks, 0.75], abs=1e-12)
    assert found[0] == 0.2
    assert found[-1] == 0.75
    assert count == 1 or found[-2] == 0.75  # to the bit


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.7, 0.9, 1.0])
def test_equal_ends_are_the_number_itself(alpha: float) -> None:
    assert shares(dict(first=alpha, last=alpha), 12) == shares(alpha, 12) == [alpha] * 13
    assert EnsembleAlpha.parse(f"{alpha}:{alpha}").config == alpha


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("visual.transformer.resblocks.11.attn.in_proj_weight", 11),
        ("backbone.encoder.visual.trunk.blocks.3.mlp.fc1.weight", 3),
        ("encoder.visual.trunk.stages.2.blocks.7.norm.weight", 2),
        ("encoder.visual.layer4.0.conv1.weight", 4),
        ("encoder.visual.conv1.weight", None),
        ("text.transformer.resblocks.2.ln_1.weight", None),
        ("encoder.value_gate.weight", None),
    ],
)
def test_names_of_all_families_tell_the_block(name: str, block: int | None) -> None:
    assert block_number(name) == block


def test_stages_that_are_counted_from_one_begin_with_first() -> None:
    names = [f"visual.layer{stage}.0.bn1.weight" for stage in (1, 2, 3, 4)]
    found = EnsembleAlpha(0.1, 0.4).by_name(names)
    assert list(found.values()) == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("alpha", ["half", "0.1:0.2:0.3", dict(first=0.1), dict(first=0, last=1, middle=0.5), None, []])
def test_what_is_no_alpha_is_named(alpha: object) -> None:
    with pytest.raises(
        ValueError, match=r"test_alpha must be a number, dict\(first=\.\.\., last=\.\.\.\) or FIRST:LAST, got"
    ):
        EnsembleAlpha.parse(alpha, "test_alpha")


@pytest.mark.parametrize("alpha", [1.5, -0.1, "0.5:2", dict(first=float("nan"), last=1)])
def test_alphas_outside_of_0_and_1_are_named(alpha: object) -> None:
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\], got"):
        EnsembleAlpha.parse(alpha)


def test_reading_a_checkpoint_applies_its_alpha_by_depth() -> None:
    names = [f"visual.transformer.resblocks.{block}.ln_1.weight" for block in range(3)] + ["visual.proj"]
    content = dict(
        state_dict={f"encoder.{name}": torch.ones(2) for name in names},
        weight_ensemble=dict(
            alpha=dict(first=0.0, last=0.5), initial_state_dict={f"encoder.{name}": torch.zeros(2) for name in names}
        ),
    )
    found = to_open_clip_layout(content, "file")
    assert [float(found[name][0]) for name in names] == [0.0, 0.25, 0.5, 0.5]
    asked = to_open_clip_layout(content, "file", alpha="1:0")
    assert [float(asked[name][0]) for name in names] == [1.0, 0.5, 0.0, 0.0]
