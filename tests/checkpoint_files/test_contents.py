import pytest
import torch

from densevlm_mm.checkpoint_files import check_finite, find_state_dict, is_runner_checkpoint
from densevlm_mm.checkpoint_files.contents import check_weights

TENSOR = torch.ones(2, 2)
NAN, INF = torch.tensor([0.0, float("nan")]), torch.tensor([1.0, float("-inf")])


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module", "model_state_dict"])
def test_the_state_dict_is_found_in_what_training_programs_save(wrapper: str) -> None:
    content = {"epoch": 3, wrapper: {"a": TENSOR}, "optimizer": {"state": {}}}
    assert find_state_dict(content, "file") == {"a": TENSOR}
    assert find_state_dict({"a": TENSOR}, "file") == {"a": TENSOR}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "no state dict found; its entries are .'epoch'"),
        ({"state": {}, "param_groups": []}, "state of an optimizer"),
        ([TENSOR], "holds a list"),
        (TENSOR, "holds a Tensor"),
        ({}, "no state dict"),
        ({"state_dict": {}}, "no state dict"),
        ({"state_dict": {"a": 3}}, "no state dict"),
    ],
)
def test_what_holds_no_state_dict_is_refused(content: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^file: .*{message}"):
        find_state_dict(content, "file")


def test_runner_checkpoints_are_told_apart() -> None:
    assert is_runner_checkpoint({"state_dict": {}, "meta": {}, "optimizer": {}})
    assert not is_runner_checkpoint({"state_dict": {}, "epoch": 3})
    assert not is_runner_checkpoint([])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("value", "problem"), [(NAN, "nan"), (INF, "infinite values")])
def test_numbers_that_are_none_are_refused_with_the_first_name(
    dtype: torch.dtype, value: torch.Tensor, problem: str
) -> None:
    content = {"state_dict": {"a": TENSOR, "b": value.to(dtype), "c": NAN}, "optimizer": {"state": {0: [TENSOR]}}}
    with pytest.raises(ValueError, match=rf"^file: tensor 'state_dict\.b' holds {problem}"):
        check_finite(content, "file")
    with pytest.raises(ValueError, match=r"tensor 'optimizer\.0\.m' holds nan"):
        check_finite({"optimizer": [{"m": NAN}]}, "file")


def test_what_is_finite_passes_however_large() -> None:
    check_finite({"a": torch.full((8,), 3e38), "b": torch.full((4096,), 6e4).half(), "n": torch.tensor(7)}, "file")


def test_masks_may_hold_minus_infinity_and_nothing_else_may() -> None:
    check_finite({"attn_mask": INF, "text.attn_mask": INF, "mask": INF}, "file")
    for content in ({"mask_embed": INF}, {"attn_mask": NAN}):
        with pytest.raises(ValueError, match="mask"):
            check_finite(content, "file")


def test_a_matrix_of_zeros_is_a_hole() -> None:
    check_weights({"bias": torch.zeros(4), "token_type": torch.zeros(1, 4), "ids": torch.arange(4)[None]}, "f")
    check_weights({"last": torch.tensor([[0.0, 0.0], [0, 1]]), "ids": torch.arange(4).view(2, 2)}, "f")
    with pytest.raises(ValueError, match=r"f: all values of tensor 'proj' are zero.*damaged"):
        check_weights({"a": TENSOR, "proj": torch.zeros(3, 2).half()}, "f")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantised_weights_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"'a' is of type {str(dtype).split('.')[1]}.*quantised"):
        check_weights({"a": TENSOR.to(dtype)}, "file")
    check_weights({"num_batches_tracked": torch.tensor(3)}, "file")
