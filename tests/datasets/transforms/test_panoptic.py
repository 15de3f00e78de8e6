import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from densevlm_mm.datasets.transforms import LoadPanopticRegions
from densevlm_mm.datasets.transforms.panoptic import (
    decode_segment_ids,
    masks_on_grid,
    segment_extents,
    segments_on_grid,
)

IDS = np.array([1, 256, 65536, 70003, 16777215])


def random_segments(height, width, seed=0):
    """Voronoi cells of random points."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    points = rng.uniform(0, 1, (len(IDS), 2)) * [height, width]
    nearest = ((rows[..., None] - points[:, 0]) ** 2 + (columns[..., None] - points[:, 1]) ** 2).argmin(-1)
    return IDS[nearest].astype(np.int32)


def save_png(path, segment_ids):
    png = np.stack([segment_ids >> 16, (segment_ids >> 8) & 255, segment_ids & 255], -1).astype(np.uint8)
    cv2.imwrite(str(path), png)
    return str(path)


def results_for(tmp_path, segment_ids, infos, size=64):
    height, width = segment_ids.shape
    scale = size / max(height, width)
    return dict(
        img_path="image.jpg",
        seg_map_path=save_png(tmp_path / "p.png", segment_ids),
        segments_info=[
            dict(dict(label=0, is_thing=True, bbox_xyxy=(0, 0, 9, 9), iscrowd=False), **info) for info in infos
        ],
        ori_shape=(height, width),
        img_shape=(max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))),
        pad_shape=(size, size),
    )


def test_ids_are_decoded_by_cocos_rule():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    expected = rgb[..., 0].astype(int) + 256 * rgb[..., 1].astype(int) + 256**2 * rgb[..., 2].astype(int)
    np.testing.assert_array_equal(decode_segment_ids(np.ascontiguousarray(rgb[..., ::-1])), expected)


def test_extents_equal_a_search_per_segment():
    segment_ids = random_segments(37, 53)
    for segment_id, box in zip(IDS, segment_extents(segment_ids, IDS), strict=True):
        rows, columns = np.nonzero(segment_ids == segment_id)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert segment_extents(segment_ids, np.array([5])).tolist() == [[0, 0, 0, 0]]
    assert segment_extents(segment_ids, np.zeros(0, int)).shape == (0, 4)


@pytest.mark.parametrize("shape", [(37, 53), (480, 640), (20, 10), (3, 3), (1, 300), (5, 1)])
@pytest.mark.parametrize("antialias", [False, True])
def test_masks_equal_torchs_bicubic_resize(shape, antialias):
    segment_ids = random_segments(*shape)
    masks = masks_on_grid(segment_ids, IDS, 8, antialias)
    new_shape = [max(1, int(side * 8 / max(shape) + 0.5)) for side in shape]
    for segment_id, mask in zip(IDS, masks, strict=True):
        source = torch.from_numpy(segment_ids == segment_id)[None, None].double()
        resized = functional.interpolate(source, new_shape, mode="bicubic", antialias=antialias)[0, 0].numpy()
        inside = mask[: new_shape[0], : new_shape[1]]
        clear = np.abs(resized) > 1e-6
        np.testing.assert_array_equal(inside[clear], resized[clear] > 0)
        assert mask.sum() == inside.sum()


def test_boxes_are_annotated_for_things_and_mask_extents_for_stuff(tmp_path):
    segment_ids = np.full((48, 64), 7, np.int32)
    segment_ids[8:24, 32:64] = 9
    infos = [dict(id=9, label=4, bbox_xyxy=(1, 2, 33, 44)), dict(id=9, label=5, is_thing=False)]
    regions = LoadPanopticRegions(8)(results_for(tmp_path, segment_ids, infos, size=128))["gt_regions"]
    expected = np.array([[1, 2, 33, 44], [32, 8, 64, 24]]) / 64
    np.testing.assert_allclose(regions["boxes_norm_xyxy"], expected, rtol=1e-6)
    assert regions["boxes_norm_xyxy"].dtype == np.float32
    assert regions["labels"].tolist() == [4, 5]
    assert regions["is_thing"].tolist() == [True, False]
    assert regions["masks"].shape == (2, 16, 16)
    assert regions["masks"][1].nonzero()[0].max() == 5
    assert regions["masks"][1].nonzero()[1].min() == 8


@pytest.mark.parametrize(
    ("kwargs", "kept"),
    [
        ({}, [1, 2]),  # 8 x 8 and 1024 x 1024 are kept, less and more are not, nor crowds
        (dict(min_area=0, max_area=2e6, max_regions=3), [0, 1, 2]),
    ],
)
def test_sizes_crowds_and_number_are_limited(tmp_path, kwargs, kept):
    boxes = [(0, 0, 8, 7.9), (0, 0, 8, 8), (0, 0, 1024, 1024), (0, 0, 1024, 1025), (0, 0, 30, 30)]
    infos = [dict(id=7, label=i, bbox_xyxy=box, iscrowd=i == 4) for i, box in enumerate(boxes)]
    results = results_for(tmp_path, np.full((20, 20), 7, np.int32), infos)
    assert LoadPanopticRegions(8, **kwargs)(results)["gt_regions"]["labels"].tolist() == kept


def test_mask_smaller_than_a_cell_is_kept_without_cells(tmp_path):
    segment_ids = np.full((640, 640), 7, np.int32)
    segment_ids[0:8, 0:8] = 9
    regions = LoadPanopticRegions(16)(results_for(tmp_path, segment_ids, [dict(id=9), dict(id=7)], size=512))[
        "gt_regions"
    ]
    assert regions["masks"].sum(axis=(1, 2)).tolist() == [0, 1024]
    antialiased = LoadPanopticRegions(16, antialias=True)(results_for(tmp_path, segment_ids, [dict(id=9)], size=512))
    assert antialiased["gt_regions"]["masks"].sum() > 0


def test_image_without_segments_gives_empty_regions(tmp_path):
    regions = LoadPanopticRegions(8)(results_for(tmp_path, np.zeros((20, 30), np.int32), []))["gt_regions"]
    assert [regions[key].shape for key in ("labels", "boxes_norm_xyxy", "masks")] == [(0,), (0, 4), (0, 8, 8)]


def test_png_of_another_image_is_an_error(tmp_path):
    results = results_for(tmp_path, np.full((20, 30), 7, np.int32), [dict(id=8)])
    with pytest.raises(ValueError, match=r"no pixel of 1 of the 1 annotated segments, such as \[8\]"):
        LoadPanopticRegions(8)(results)
    with pytest.raises(ValueError, match=r"\(20, 30\) but its image image\.jpg is \(30, 20\)"):
        LoadPanopticRegions(8)(dict(results, ori_shape=(30, 20)))


def test_wrong_use_is_an_error():
    with pytest.raises(ValueError, match="not 0"):
        LoadPanopticRegions(0)
    with pytest.raises(KeyError, match="put ResizeLongestSide and PadToSquare before it"):
        LoadPanopticRegions(8)(dict(seg_map_path="x"))


def test_a_cell_is_of_the_segment_that_covers_most_of_it():
    segment_ids = random_segments(48, 64)
    segment_ids[30:40, 10:40] = 0  # void
    ids = IDS[[3, 0, 4, 1]]  # in no order; the third one is not asked for, and so void too
    labels = segments_on_grid(segment_ids, ids, (48, 64), (8, 8), 8)
    for y in range(8):
        for x in range(8):
            cell = segment_ids[8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
            counts = [(cell == segment_id).sum() for segment_id in ids]
            if sum(counts) < 64 and 64 - sum(counts) > max(counts):
                assert labels[y, x] == -1
            elif max(counts) > 64 - sum(counts):
                assert counts[labels[y, x]] == max(counts)
    assert (labels[6:] == -1).all()
    assert set(np.unique(labels)) == {-1, 0, 1, 2, 3}


@pytest.mark.parametrize("shape", [(480, 640), (30, 40), (6, 8), (1, 200)])
def test_cells_of_scaled_images_are_found_where_they_are(shape):
    segment_ids = np.where(np.arange(shape[1]) < shape[1] / 2, 5, 9)[None].repeat(shape[0], 0).astype(np.int32)
    area = (48, 64) if shape[0] > 1 else (1, 64)
    labels = segments_on_grid(segment_ids, np.array([9, 5]), area, (8, 8), 8)
    rows = 6 if shape[0] > 1 else 0  # a row of one pixel covers an eighth of its cells
    assert (labels[:rows, :4] == 1).all()
    assert (labels[:rows, 4:] == 0).all()
    assert (labels[rows:] == -1).all()


def test_segment_map_has_all_segments_but_crowds(tmp_path):
    segment_ids = np.zeros((64, 64), np.int32)
    segment_ids[:, :16], segment_ids[:, 16:32], segment_ids[:, 32:40] = 5, 7, 9
    infos = [dict(id=5, iscrowd=True), dict(id=7, bbox_xyxy=(0, 0, 1, 1)), dict(id=9)]  # the second is too small
    results = LoadPanopticRegions(8)(results_for(tmp_path, segment_ids, infos))
    assert len(results["gt_regions"]["labels"]) == 1
    assert results["segment_map"].shape == (8, 8)
    assert results["segment_map"][3].tolist() == [-1, -1, 0, 0, 1, -1, -1, -1]
    assert (segments_on_grid(segment_ids, np.zeros(0, int), (64, 64), (8, 8), 8) == -1).all()
