"""Whatever a file holds, its reader gives what is right or a ValueError with the file's name: nothing else, ever."""

import copy
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdet.structures.mask import BitmapMasks
from PIL import Image
from pycocotools import mask as mask_utils

from densevlm_mm.datasets.annotations.instances import InstanceFile, read_instances
from densevlm_mm.datasets.annotations.masks import parse_mask
from densevlm_mm.datasets.annotations.panoptic import PanopticFile, read_panoptic
from densevlm_mm.datasets.image_files import Frame, UnreadableImageError, decode_image, read_header
from densevlm_mm.datasets.label_map_files import decode_label_map
from densevlm_mm.datasets.region_files import RegionFile, load_region_file
from densevlm_mm.datasets.unlabeled_images import UnlabeledImageDataset

few = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

IMAGES = [dict(id=n, file_name=f"{n}.png", width=64, height=48) for n in (1, 2)]
INSTANCES = dict(
    images=IMAGES,
    annotations=[
        dict(id=1, image_id=1, category_id=5, bbox=[8, 20, 22, 20], area=440.0, iscrowd=0),
        dict(id=2, image_id=2, category_id=5, bbox=[8.5, 2, 22, 20], segmentation=[[8, 20, 30, 20, 30, 40]]),
        dict(
            id=3,
            image_id=2,
            category_id=6,
            bbox=[0, 0, 64, 48],
            iscrowd=1,
            segmentation=dict(size=[48, 64], counts=[0, 9, 3063]),
        ),
    ],
    categories=[dict(id=5, name="car"), dict(id=6, name="ball")],
)
PANOPTIC = dict(
    images=IMAGES,
    annotations=[
        dict(
            image_id=1,
            file_name="1.png",
            segments_info=[
                dict(id=7, category_id=5, bbox=[8, 20, 22, 20], iscrowd=0),
                dict(id=9, category_id=6, bbox=[0, 0, 64, 48], iscrowd=1),
            ],
        )
    ],
    categories=[dict(id=5, name="car", isthing=1), dict(id=6, name="sky", isthing=0)],
)
REGIONS = dict(
    images=IMAGES,
    annotations=[
        dict(image_id=1, bbox=[1, 2, 3, 4], category_id=5, score=0.5),
        dict(file_name="2.png", bbox=[1, 2, 30.5, 4], category_id=5, score=0.1, iscrowd=1),
    ],
    categories=[dict(id=5, name="car", isthing=1)],
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 70),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(
        ["../x", "/x", "1.png", "", 2**63, -(2**63), 1e308, [1e30] * 6, [[1, 2, 1e9, 4, 5, 6]], "zz", "57"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(["id", "size", "counts"]), inner),
    max_leaves=8,
)


def places(node: Any, path: tuple = ()) -> Iterator[tuple]:
    """All places in a JSON, as keys and positions from its root."""
    yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*path, key))


@st.composite
def spoilt(draw: Callable, original: Any) -> Any:
    """A JSON with up to three of its values replaced, removed or repeated."""
    root = [copy.deepcopy(original)]
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(root))[1:]))
        parent = root
        for step in path[:-1]:
            parent = parent[step]
        change = draw(st.sampled_from(["replace", "replace", "remove", "repeat"]))
        if change == "remove" and len(path) > 1:
            del parent[path[-1]]
        elif change == "repeat" and isinstance(parent, list):
            parent.insert(path[-1], copy.deepcopy(parent[path[-1]]))
        else:
            parent[path[-1]] = copy.deepcopy(draw(values))
    return root[0]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files") / "file.json"


def attempt(function: Callable[[], Any], named: str) -> Any:
    """What a reader gives; None after an error, which must name the file."""
    try:
        return function()
    except (ValueError, FileNotFoundError) as caught:
        error = caught
    assert named in str(error)
    assert type(error) in (ValueError, UnreadableImageError, FileNotFoundError)  # none of a package's own
    return None


def read(path: Path, content: Any, reader: Callable[[str], Any]) -> Any:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return attempt(lambda: reader(str(path)), str(path.parent))


def check_instances(file: InstanceFile | None) -> None:
    if file is None:
        return
    sizes = np.array([(image.width, image.height) for image in file.images], dtype=float)[file.image_rows]
    assert (sizes >= 1).all()
    x1y1, width_height = file.boxes_xywh[:, :2], file.boxes_xywh[:, 2:]
    assert np.isfinite(file.boxes_xywh).all()
    assert (width_height >= 0).all()
    assert (x1y1 >= -2).all()
    assert (x1y1 + width_height <= sizes + 2).all()
    assert len(set(file.ids.tolist())) == len(file.ids)
    assert len(set(file.image_ids.tolist())) == len(file.images)
    assert (file.category_rows >= 0).all()
    assert (file.areas[(width_height > 0).all(axis=1)] > 0).all()
    for row in np.flatnonzero(file.has_mask):
        image = file.images[int(file.image_rows[row])]
        if image.height * image.width > 10**6:
            continue
        mask = msgspec.to_builtins(parse_mask(file.masks[row]))
        if isinstance(mask, list):
            mask = mask_utils.merge(
                mask_utils.frPyObjects([each for each in mask if len(each) >= 6], image.height, image.width)
            )
        elif isinstance(mask["counts"], list):
            mask = mask_utils.frPyObjects(mask, image.height, image.width)
        decoded = mask_utils.decode(mask)
        assert set(np.unique(decoded)) <= {0, 1}  # run lengths that do not fill the image leave rubbish
        BitmapMasks([decoded], image.height, image.width)


@few
@given(spoilt(INSTANCES))
def test_instances(path: Path, content: Any) -> None:
    check_instances(read(path, content, read_instances))


@few
@given(spoilt(INSTANCES))
def test_lvis(path: Path, content: Any) -> None:
    check_instances(read(path, content, lambda name: read_instances(name, lvis=True)))


def check_panoptic(file: PanopticFile | None) -> None:
    if file is None:
        return
    categories = {category.id for category in file.categories}
    for image_id, annotation in file.annotations.items():
        assert image_id in {image.id for image in file.images}
        ids = [segment.id for segment in annotation.segments_info or ()]
        assert len(set(ids)) == len(ids)
        assert all(0 < each < 2**24 for each in ids)
        assert {segment.category_id for segment in annotation.segments_info or ()} <= categories


@few
@given(spoilt(PANOPTIC))
def test_panoptic(path: Path, content: Any) -> None:
    check_panoptic(read(path, content, read_panoptic))


def check_regions(file: RegionFile | None) -> None:
    for regions in () if file is None else file.regions.values():
        assert regions.boxes_xyxy.shape == (len(regions.region_ids), 4)
        assert (regions.boxes_xyxy[:, 2:] >= regions.boxes_xyxy[:, :2]).all()
        assert regions.category_labels is None or (regions.category_labels >= 0).all()


@few
@given(spoilt(REGIONS))
def test_regions(path: Path, content: Any) -> None:
    check_regions(read(path, content, load_region_file))
    check_regions(read(path, content, lambda name: load_region_file(name, min_size=2, min_score=0.2)))


@few
@given(spoilt(REGIONS["annotations"]))
def test_lists_of_regions(path: Path, content: Any) -> None:
    check_regions(read(path, content, load_region_file))


@few
@given(spoilt(dict(images=IMAGES)))
def test_lists_of_images(path: Path, content: Any) -> None:
    for name in ("1.png", "2.png"):
        (path.parent / name).touch()

    def load(name: str) -> Any:
        # Not serialized: mmengine would collect garbage every time.
        return UnlabeledImageDataset(name, data_root=str(path.parent), data_prefix=dict(img=""), serialize_data=False)

    read(path, content, load)


@few
@given(values | st.binary(max_size=40), st.sampled_from([read_instances, read_panoptic, load_region_file]))
def test_any_json_and_any_bytes(path: Path, content: Any, reader: Callable[[str], Any]) -> None:
    read(path, content, reader)


@few
@given(st.integers(0, 600), st.binary(min_size=1, max_size=3), st.booleans())
def test_damaged_json(path: Path, position: int, damage: bytes, cut: bool) -> None:
    text = json.dumps(INSTANCES).encode()
    check_instances(read(path, text[:position] + (b"" if cut else damage + text[position + 1 :]), read_instances))


def encode(file_format: str, mode: str, **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (13, 17, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    options["exif"] = Image.Exif()
    options["exif"][0x0112] = 6
    Image.fromarray(pixels).convert(mode).save(buffer, file_format, **options)
    return buffer.getvalue()


FILES = [
    encode("JPEG", "RGB"),
    encode("JPEG", "L", progressive=True),
    encode("PNG", "RGB"),
    encode("PNG", "P"),
    encode("WEBP", "RGB"),
    encode("TIFF", "RGBA", compression="tiff_lzw"),
    encode("TIFF", "RGB"),
    encode("GIF", "P"),
]


@st.composite
def damaged(draw: Callable) -> bytes:
    """An image file with up to four bytes changed, most of them in its header, or cut."""
    content = bytearray(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(1, 4))):
        end = len(content) - 1 if draw(st.booleans()) else min(120, len(content) - 1)
        content[draw(st.integers(0, end))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(1, len(content)))]) if draw(st.booleans()) else bytes(content)


@few
@given(damaged() | st.binary(max_size=200), st.sampled_from(["shown", "stored"]))
def test_images(content: bytes, frame: Frame) -> None:
    image = attempt(lambda: decode_image(content, "x.img", frame, max_pixels=10**6), "x.img")
    if image is not None:
        assert image.dtype == np.uint8
        assert image.shape == (*read_header(content, "x.img").shape(frame), 3)


@few
@given(damaged() | st.binary(max_size=200))
def test_label_maps(content: bytes) -> None:
    labels = attempt(lambda: decode_label_map(content, "x.img", max_pixels=10**6), "x.img")
    if labels is not None:
        assert labels.ndim == 2
        assert labels.dtype == np.int32
