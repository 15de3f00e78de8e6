import torch

from densevlm_mm.models.clip.state_dict_mismatch import StateDictMismatch

EXPECTED = {"a": torch.zeros(2), "b": torch.zeros(3), "bn.num_batches_tracked": torch.tensor(0)}


def test_says_what_does_not_fit() -> None:
    found = {"b": torch.zeros(4), **{f"c{i}": torch.zeros(1) for i in range(5)}}
    mismatch = StateDictMismatch.between(EXPECTED, found)
    assert mismatch
    assert str(mismatch) == (
        "2 missing (a, bn.num_batches_tracked); 5 unexpected (c0, c1, c2, ...); 1 of another shape "
        "(b: (4,) in the file, (3,) expected)"
    )


def test_what_is_forgiven_no_longer_counts() -> None:
    found = {"b": torch.zeros(3), "head.w": torch.zeros(1)}
    mismatch = StateDictMismatch.between(EXPECTED, found)
    assert not mismatch.without(missing=("a",), unexpected=("head.",), missing_suffixes=("num_batches_tracked",))
    assert mismatch.without(missing=("a",)).unexpected == ["head.w"]


def test_equal_names_and_shapes_fit() -> None:
    assert not StateDictMismatch.between(EXPECTED, dict(EXPECTED))
