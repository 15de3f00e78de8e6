import numpy as np
import pytest
from PIL import Image

from densevlm_mm.datasets.transforms import PackRegionInputs, PadToSquare, ResizeLongestSide

RNG = np.random.default_rng(0)


def noise(height, width):
    return RNG.integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((480, 640), (48, 64)),
        ((640, 427), (64, 43)),  # 42.7
        ((1, 1), (64, 64)),
        ((1, 3000), (1, 64)),  # 0.02 would be no pixel at all
        ((3000, 1), (64, 1)),
        ((64, 64), (64, 64)),
        ((10, 20), (32, 64)),
    ],
)
@pytest.mark.parametrize("antialias", [True, False])
def test_longest_side_is_the_size(shape, expected, antialias):
    results = ResizeLongestSide(64, antialias=antialias)(dict(img=noise(*shape)))
    assert results["img"].shape == (*expected, 3)
    assert results["img"].dtype == np.uint8
    assert results["img_shape"] == expected
    assert results["scale_factor"] == pytest.approx((expected[1] / shape[1], expected[0] / shape[0]))


def test_antialiased_bicubic_equals_pillow():
    img = noise(90, 120)
    resized = ResizeLongestSide(50)(dict(img=img))["img"]
    expected = np.asarray(Image.fromarray(img).resize((50, 38), Image.Resampling.BICUBIC))
    assert np.abs(resized.astype(int) - expected).max() <= 1


def test_annotations_are_resized_with_the_image():
    results = dict(
        img=noise(20, 40),
        gt_bboxes=np.array([[0.0, 5, 20, 10]]),
        gt_seg_map=np.zeros((20, 40), np.uint8),
        gt_keypoints=np.array([[[40.0, 20, 1]]]),
    )
    results = ResizeLongestSide(80)(results)
    assert results["gt_bboxes"].tolist() == [[0, 10, 40, 20]]
    assert results["gt_seg_map"].shape == (40, 80)
    assert results["gt_keypoints"].tolist() == [[[80, 40, 1]]]


def test_impossible_settings_are_errors():
    with pytest.raises(ValueError, match="at least 1 pixel, not 0"):
        ResizeLongestSide(0)
    with pytest.raises(ValueError, match="at least 1 pixel, not 0"):
        PadToSquare(0)
    with pytest.raises(ValueError, match="not 'nearest'"):
        ResizeLongestSide(64, interpolation="nearest")


@pytest.mark.parametrize("shape", [(48, 64), (64, 1), (64, 64)])
def test_padding_is_black_right_and_bottom(shape):
    img = noise(*shape)
    results = PadToSquare(64)(dict(img=img.copy(), img_shape=shape, gt_seg_map=np.zeros(shape, np.uint8)))
    np.testing.assert_array_equal(results["img"][: shape[0], : shape[1]], img)
    assert results["img"][shape[0] :].sum() == results["img"][:, shape[1] :].sum() == 0
    assert (results["img_shape"], results["pad_shape"]) == (shape, (64, 64))
    assert (results["gt_seg_map"] == 255).sum() == 64 * 64 - shape[0] * shape[1]


def test_padding_without_a_size_is_to_the_longer_side():
    assert PadToSquare()(dict(img=noise(3, 7)))["img"].shape == (7, 7, 3)


def test_image_larger_than_the_canvas_is_an_error():
    with pytest.raises(ValueError, match=r"80 x 20 does not fit on a canvas of 64: put ResizeLongestSide\(size=64\)"):
        PadToSquare(64)(dict(img=noise(20, 80)))


@pytest.mark.parametrize("shape", [(48, 64), (64, 30), (64, 64)])
def test_planes_and_interleaved_pixels_are_padded_alike_and_stay_planes(shape) -> None:
    img = noise(*shape)
    planes = np.ascontiguousarray(img.transpose(2, 0, 1)).transpose(1, 2, 0)
    found, expected = (PadToSquare(64, pad_val=7)(dict(img=each)) for each in (planes, img))
    assert np.array_equal(found["img"], expected["img"])
    assert {key: found[key] for key in ("img_shape", "pad_shape")} == dict(img_shape=shape, pad_shape=(64, 64))
    assert found["img"].transpose(2, 0, 1).flags.c_contiguous
    assert PadToSquare()(dict(img=planes))["img"].shape == (64, 64, 3)


def test_an_image_is_never_interleaved_between_its_resize_and_the_model() -> None:
    results = PadToSquare(64)(ResizeLongestSide(64)(dict(img=noise(60, 80))))
    inputs = PackRegionInputs(meta_keys=())(results)["inputs"]
    assert np.shares_memory(inputs.numpy(), results["img"])
