import pytest

from densevlm_mm.engine.teacher_cache import CacheOptions


@pytest.mark.parametrize(
    ("cfg", "named"),
    [
        (dict(), "path"),
        (dict(path=""), "local folder"),
        (dict(path="s3://bucket"), "local folder"),
        (dict(path=__file__), "is a file"),
        (dict(path="a", dtype="half"), "half"),
        (dict(path="a", min_threshold=1.0), "min_threshold"),
        (dict(path="a", folder="b"), "'folder'"),
    ],
)
def test_wrong_options_are_named(cfg, named) -> None:
    with pytest.raises(ValueError, match=named):
        CacheOptions.from_config(cfg)


def test_a_hook_knows_some_options_alone() -> None:
    with pytest.raises(ValueError, match="unknown cache option 'min_threshold'; there are: path, dtype"):
        CacheOptions.from_config(dict(path="a", min_threshold=0.1), ("path", "dtype"))
