"""Writing TinyScenes to disk in the real data sets' file formats, and reading it back into arrays."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.logging import print_log
from pycocotools import mask as mask_api

from densevlm_mm.files import write_text
from densevlm_mm.tiny_scenes.captions import compose_caption, mentioned_classes
from densevlm_mm.tiny_scenes.classes import BASE_THINGS, CLASS_NAMES, IGNORE_LABEL, THING_NAMES, splits
from densevlm_mm.tiny_scenes.scenes import Scene, SceneGenerator, is_thing

SPLITS = ("train", "val")
TRAIN_ZOOM_SHARE = 0.4  # CLIPSelf collapses when the encoder never saw an enlarged crop
CAPTIONS_PER_IMAGE = 2
# Textures are fine-grained: no chroma subsampling, high quality.
_JPEG_OPTIONS = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


def generate_tiny_scenes(
    root: str | Path,
    num_train: int = 12000,
    num_val: int = 500,
    seed: int = 0,
    image_size: int = 64,
    things_per_image: tuple[int, int] | None = None,
    p_stuff: float = 0.17,
) -> Path:
    """Generate the world and write it below ``root``.

    Written are ``{train,val}/*.jpg``, ``annotations/{instances,panoptic,captions,lvis}_{train,val}.json`` (the last are
    the instances in LVIS's format, novel things as rare), ``annotations/splits.json`` (base/novel things, seen/held-out
    classes), ``panoptic_{train,val}/*.png`` (COCO's id = R + 256 G + 65536 B) and ``semantic_{train,val}/*.png``
    (labels 0..31, 255 to be ignored).

    Args:
        root: Folder to write to; made when missing.
        num_train: Number of training images.
        num_val: Number of validation images; their textures and sprites come from another seed.
        seed: Seed of everything. The same arguments write the same files.
        image_size: Side of the images in pixels, 64 to 1024.
        things_per_image: See `SceneGenerator`.
        p_stuff: Probability that a caption in the captions file mentions a stuff class beside things.

    Returns:
        ``root`` as a path.

    Raises:
        ValueError: If a count is negative, or an argument is out of range.

    Example:
        >>> generate_tiny_scenes("data/tiny_scenes", num_train=100, num_val=20)
    """
    if num_train < 0 or num_val < 0:
        raise ValueError(f"num_train is {num_train}, num_val is {num_val}; neither can be negative")
    if not 0 <= p_stuff <= 1:
        raise ValueError(f"p_stuff is {p_stuff}; use a probability in [0, 1]")
    root = Path(root)
    for split, count in zip(SPLITS, (num_train, num_val), strict=True):
        zoom = TRAIN_ZOOM_SHARE if split == "train" else 0.0
        generator = SceneGenerator(seed, split, image_size, zoom, things_per_image)
        _SplitWriter(root, split, image_size).write(generator, count, p_stuff)
        print_log(f"TinyScenes: wrote {count} {split} images to {root}", logger="current")
    write_text(root / "annotations" / "splits.json", json.dumps(splits(), indent=1) + "\n")
    return root


def categories(with_stuff: bool) -> list[dict[str, Any]]:
    """COCO category records; ids are the class's position + 1."""
    names = CLASS_NAMES if with_stuff else THING_NAMES
    records: list[dict[str, Any]] = []
    for label, name in enumerate(names):
        kind = "thing" if is_thing(label) else "stuff"
        record: dict[str, Any] = {"id": label + 1, "name": name, "supercategory": kind}
        if with_stuff:
            record["isthing"] = int(is_thing(label))
        records.append(record)
    return records


def lvis_categories() -> list[dict[str, Any]]:
    """LVIS category records: novel things are rare, base things common and frequent in turn."""
    frequency = {name: "fc"[position % 2] for position, name in enumerate(BASE_THINGS)}
    return [{**record, "frequency": frequency.get(record["name"], "r")} for record in categories(with_stuff=False)]


class _SplitWriter:
    """Collects one split's annotations while its images and label maps are written."""

    def __init__(self, root: Path, split: str, image_size: int) -> None:
        self.root, self.split, self.image_size = root, split, image_size
        self.images: list[dict[str, Any]] = []
        self.instances: list[dict[str, Any]] = []
        self.panoptic: list[dict[str, Any]] = []
        self.captions: list[dict[str, Any]] = []
        for folder in (split, "annotations", f"panoptic_{split}", f"semantic_{split}"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def write(self, generator: SceneGenerator, count: int, p_stuff: float) -> None:
        for index in range(count):
            scene = generator.scene(index)
            # Its own stream, so that other captions never mean other images.
            rng = np.random.default_rng([generator.seed, SPLITS.index(self.split), 3, index])
            self._add(index + 1, scene, p_stuff, rng)
        info = {"description": "TinyScenes", "version": "1.0"}
        kinds = {
            "instances": {"annotations": self.instances, "categories": categories(with_stuff=False)},
            "panoptic": {"annotations": self.panoptic, "categories": categories(with_stuff=True)},
            "captions": {"annotations": self.captions},
            "lvis": {"annotations": self.instances, "categories": lvis_categories(), "images": self._lvis_images()},
        }
        for kind, content in kinds.items():
            path = self.root / "annotations" / f"{kind}_{self.split}.json"
            write_text(path, json.dumps({"info": info, "images": self.images, **content}))

    def _lvis_images(self) -> list[dict[str, Any]]:
        """Image records with the folder in the URL, and the classes that are annotated exhaustively: all."""
        present: dict[int, set[int]] = {image["id"]: set() for image in self.images}
        for instance in self.instances:
            present[instance["image_id"]].add(instance["category_id"])
        every = set(range(1, len(THING_NAMES) + 1))
        return [
            {
                **image,
                "coco_url": f"{self.split}/{image['file_name']}",
                "neg_category_ids": sorted(every - present[image["id"]]),
                "not_exhaustive_category_ids": [],
            }
            for image in self.images
        ]

    def _add(self, image_id: int, scene: Scene, p_stuff: float, rng: np.random.Generator) -> None:
        stem, size = f"{image_id:06d}", self.image_size
        _write_image(self.root / self.split / f"{stem}.jpg", scene.image[..., ::-1], _JPEG_OPTIONS)
        ids = np.zeros((size, size, 3), dtype=np.uint8)
        ids[..., 2] = scene.segment_ids  # at most 255 segments: the red channel, which OpenCV has last
        _write_image(self.root / f"panoptic_{self.split}" / f"{stem}.png", ids)
        lookup = np.array([IGNORE_LABEL, *scene.segment_labels], dtype=np.uint8)
        _write_image(self.root / f"semantic_{self.split}" / f"{stem}.png", lookup[scene.segment_ids])
        self.images.append({"id": image_id, "file_name": f"{stem}.jpg", "width": size, "height": size})
        self._add_segments(image_id, stem, scene)
        for _ in range(CAPTIONS_PER_IMAGE):
            named = mentioned_classes(scene.segment_labels, rng, p_stuff=p_stuff)
            record = {"id": len(self.captions) + 1, "image_id": image_id, "caption": compose_caption(named, rng)}
            self.captions.append(record)

    def _add_segments(self, image_id: int, stem: str, scene: Scene) -> None:
        numbers = np.arange(1, len(scene.segment_labels) + 1)
        masks = np.asfortranarray((scene.segment_ids[..., None] == numbers).astype(np.uint8))
        encoded = mask_api.encode(masks)
        boxes, areas = mask_api.toBbox(encoded), mask_api.area(encoded)
        segments = []
        for number, label, rle, box, area in zip(numbers, scene.segment_labels, encoded, boxes, areas, strict=True):
            common = {"category_id": label + 1, "bbox": [float(v) for v in box], "area": int(area), "iscrowd": 0}
            segments.append({"id": int(number), **common})
            if is_thing(label):
                mask = {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}
                instance_id = len(self.instances) + 1
                self.instances.append({"id": instance_id, "image_id": image_id, **common, "segmentation": mask})
        self.panoptic.append({"image_id": image_id, "file_name": f"{stem}.png", "segments_info": segments})


def _write_image(path: Path, image: np.ndarray, options: tuple[int, ...] = ()) -> None:
    if not cv2.imwrite(str(path), image, list(options)):
        raise OSError(f"could not write {path}; is the disk full?")


@dataclass(frozen=True)
class LoadedSplit:
    """A split in memory.

    Attributes:
        images: Uint8 (N, S, S, 3) RGB.
        segment_ids: Uint8 (N, S, S), 0 is void.
        segment_labels: For each image the semantic label of segment 1, 2, ...
    """

    images: np.ndarray
    segment_ids: np.ndarray
    segment_labels: tuple[tuple[int, ...], ...]


def load_tiny_scenes(root: str | Path, split: str) -> LoadedSplit:
    """Read a written split back into arrays (the tiny CLIPs' training keeps it in memory).

    Raises:
        FileNotFoundError: If ``root`` holds no such split.
    """
    root = Path(root)
    ann_file = root / "annotations" / f"panoptic_{split}.json"
    if not ann_file.is_file():
        raise FileNotFoundError(f"{ann_file} is missing; make it with tools/dataset_converters/tiny_scenes.py {root}")
    content = json.loads(ann_file.read_text())
    by_id = {annotation["image_id"]: annotation for annotation in content["annotations"]}
    images, segment_ids, labels = [], [], []
    for record in content["images"]:
        annotation = by_id[record["id"]]
        images.append(_read_image(root / split / record["file_name"]))
        segment_ids.append(_read_image(root / f"panoptic_{split}" / annotation["file_name"])[..., 0])
        labels.append(tuple(segment["category_id"] - 1 for segment in annotation["segments_info"]))
    return LoadedSplit(np.stack(images), np.stack(segment_ids), tuple(labels))


def _read_image(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f"{path} is missing or no image; generate TinyScenes again")
    return image[..., ::-1]
