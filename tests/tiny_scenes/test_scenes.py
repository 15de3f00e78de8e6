import numpy as np
import pytest

from densevlm_mm.tiny_scenes.classes import CLASS_NAMES, TIED_THINGS
from densevlm_mm.tiny_scenes.scenes import MIN_VISIBLE_PIXELS, SceneGenerator, is_thing


@pytest.fixture(scope="module")
def val_generator():
    return SceneGenerator(seed=0, split="val")


@pytest.fixture(scope="module")
def val_scenes(val_generator):
    return [val_generator.scene(index) for index in range(150)]


def test_scene_depends_on_seed_split_and_index_alone(val_generator, val_scenes):
    again = SceneGenerator(seed=0, split="val").scene(7)  # without the scenes before it
    np.testing.assert_array_equal(again.image, val_scenes[7].image)
    np.testing.assert_array_equal(again.segment_ids, val_scenes[7].segment_ids)
    assert again.segment_labels == val_scenes[7].segment_labels
    assert not np.array_equal(again.image, SceneGenerator(seed=1, split="val").scene(7).image)
    train = SceneGenerator(seed=0, split="train")
    assert not np.array_equal(again.image, train.scene(7).image)
    assert not np.array_equal(train._textures["sky"], val_generator._textures["sky"])


def test_segments_are_numbered_from_one_and_visible(val_scenes):
    for scene in val_scenes:
        assert scene.image.shape == (64, 64, 3)
        assert scene.image.dtype == scene.segment_ids.dtype == np.uint8
        counts = np.bincount(scene.segment_ids.ravel(), minlength=len(scene.segment_labels) + 1)
        assert len(counts) == len(scene.segment_labels) + 1
        assert counts[1:].min() >= MIN_VISIBLE_PIXELS
        stuff = [label for label in scene.segment_labels if not is_thing(label)]
        assert len(stuff) == len(set(stuff))


def test_things_come_mostly_with_their_stuff(val_scenes):
    tied = total = 0
    for scene in val_scenes:
        names = [CLASS_NAMES[label] for label in scene.segment_labels]
        expected = {thing for name in names for thing in TIED_THINGS.get(name, ())}
        things = [name for name, label in zip(names, scene.segment_labels, strict=True) if is_thing(label)]
        tied += sum(thing in expected for thing in things)
        total += len(things)
    assert tied / total > 0.8
    empty = np.mean([not any(map(is_thing, scene.segment_labels)) for scene in val_scenes])
    assert 0.05 < empty < 0.25


def test_mean_colour_does_not_tell_the_stuff_class(val_scenes):
    colours, labels = [], []
    for scene in val_scenes:
        for number, label in enumerate(scene.segment_labels, start=1):
            if not is_thing(label):
                colours.append(scene.image[scene.segment_ids == number].mean(0))
                labels.append(label)
    distances = np.linalg.norm(np.array(colours)[:, None] - np.array(colours)[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest = np.array(labels)[distances.argmin(1)]
    assert (nearest == labels).mean() < 0.5


def test_zoom_crops_carry_recomputed_labels(val_scenes):
    generator = SceneGenerator(seed=0, split="val", zoom_crop_share=1.0)
    for index in range(20):
        before, after = val_scenes[index], generator.scene(index)
        assert set(after.segment_labels) <= set(before.segment_labels)
        assert after.image.shape == before.image.shape
        # An enlarged window shows pixels of the labels that it says it shows: stuff keeps its colours.
        for number, label in enumerate(after.segment_labels, start=1):
            if not is_thing(label) and label in before.segment_labels:
                old = before.image[before.segment_ids == before.segment_labels.index(label) + 1].mean(0)
                assert np.abs(after.image[after.segment_ids == number].mean(0) - old).max() < 60
    assert not np.array_equal(after.segment_ids, before.segment_ids)


def test_larger_images_show_more_things():
    generator = SceneGenerator(seed=0, split="val", image_size=128)
    assert generator.things_per_image == (4, 8)
    scenes = [generator.scene(index) for index in range(12)]
    assert scenes[0].image.shape == (128, 128, 3)
    assert max(sum(map(is_thing, scene.segment_labels)) for scene in scenes) > 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "test"}, "'test'.*'train' or 'val'"),
        ({"split": "val", "image_size": 32}, "image_size is 32"),
        ({"split": "val", "zoom_crop_share": 1.5}, "zoom_crop_share is 1.5"),
        ({"split": "val", "things_per_image": (3, 2)}, "things_per_image is"),
    ],
)
def test_impossible_worlds_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SceneGenerator(seed=0, **arguments)
