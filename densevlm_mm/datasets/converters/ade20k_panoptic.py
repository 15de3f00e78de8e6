"""ADEChallengeData2016 and its instances of 2017 to COCO's panoptic format."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from densevlm_mm.datasets.converters.label_maps import read_label_map, run_all
from densevlm_mm.files import atomic_write, write_text
from densevlm_mm.vocabulary import Vocabulary

SPLITS = dict(validation="val", training="train")
Records = tuple[dict, dict]  # image and annotation of the json
_VOCABULARY = "ade20k_150"


class PanopticSample(NamedTuple):
    """The files of one image.

    Args:
        image: The image.
        semantic: Its classes, 1 to 150 and 0 for none.
        instances: Its instances: red, the thing's class from 1 to 100; green, the number of the instance.
        panoptic: PNG to write.
    """

    image: Path
    semantic: Path
    instances: Path
    panoptic: Path

    @property
    def image_id(self) -> int:
        """The number at the end of the image's name, as in ``ADE_val_00000012.jpg``."""
        return int(re.findall(r"\d+", self.image.stem)[-1])


class ADE20KPanopticConverter:
    """Writes ``ade20k_panoptic_<split>/*.png`` and ``ade20k_panoptic_<split>.json`` into the folder of the release.

    Stuff is taken from the semantic map, one segment a class; things from the instances, which win where both say
    something. A thing's pixels without an instance are left out. Category ids are ADE20K's classes from 0 to 149 in the
    release's order, which is that of the vocabulary ``ade20k_150``.

    Args:
        root: The folder with ``images/``, ``annotations/`` and ``annotations_instance/``.
        split: ``validation`` or ``training``.

    Raises:
        ValueError: The split is unknown.
    """

    def __init__(self, root: str | Path, split: str = "validation") -> None:
        if split not in SPLITS:
            raise ValueError(f"ADE20K has no split {split!r}, only {list(SPLITS)}")
        self.root, self.split = Path(root), split
        self.name = f"ade20k_panoptic_{SPLITS[split]}"
        vocabulary = Vocabulary.load(_VOCABULARY)
        self.classes = vocabulary.classes
        self.is_thing = np.asarray(vocabulary.thing_mask)

    @property
    def json_file(self) -> Path:
        """The file with the segments."""
        return self.root / f"{self.name}.json"

    def samples(self) -> list[PanopticSample]:
        """List the images of the split.

        Raises:
            FileNotFoundError: A folder, or a map of an image, does not exist.
            ValueError: There are no images, one has no number in its name, or two have the same.
        """
        folders = [self.root / kind / self.split for kind in ("images", "annotations", "annotations_instance")]
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(
                    f"{folder} does not exist: images/ and annotations/ are ADEChallengeData2016's, "
                    "annotations_instance/ is in annotations_instance.tar of the Places Challenge 2017"
                )
        images, semantic, instances = folders
        found = [
            PanopticSample(
                image, *(folder / f"{image.stem}.png" for folder in (semantic, instances, self.root / self.name))
            )
            for image in sorted(images.glob("*.jpg"))
        ]
        if not found:
            raise ValueError(f"{images} holds no images (.jpg)")
        if nameless := [sample.image for sample in found if not re.search(r"\d", sample.image.stem)]:
            raise ValueError(f"{nameless[0]} has no number in its name, which is its id")
        if len({sample.image_id for sample in found}) < len(found):
            raise ValueError(f"two images of {images} have the same number in their names")
        for sample in found:
            for path in (sample.semantic, sample.instances):
                if not path.is_file():
                    raise FileNotFoundError(f"{path} does not exist, but its image does: is the archive complete?")
        return found

    def segment_ids(self, sample: PanopticSample) -> np.ndarray:
        """Segment of every pixel: ``256 * (category + 1)`` plus the instance's number; 0 for none.

        Args:
            sample: The image's files.

        Returns:
            (H, W) int64.

        Raises:
            ValueError: A map is not in the release's format, or the maps differ in size.
        """
        semantic = read_label_map(sample.semantic).astype(np.int64)
        with Image.open(sample.instances) as picture:
            colours = np.asarray(picture).astype(np.int64)
        if colours.ndim != 3 or colours.shape[2] < 2 or colours.shape[:2] != semantic.shape:
            raise ValueError(
                f"{sample.instances} has shape {colours.shape}, not the colours of the {semantic.shape} pixels of "
                f"{sample.semantic}"
            )
        if semantic.max(initial=0) > len(self.classes):
            raise ValueError(f"{sample.semantic} has class {semantic.max()}, the release has {len(self.classes)}")
        thing, number = colours[..., 0], colours[..., 1]
        things = np.flatnonzero(self.is_thing)  # the instances count the things alone, in the same order
        if thing.max(initial=0) > len(things):
            raise ValueError(f"{sample.instances} has thing {thing.max()}, the release has {len(things)}")
        is_stuff = np.concatenate([[False], ~self.is_thing])[semantic]
        has_instance = (thing > 0) & (number > 0)
        ids = np.where(is_stuff, semantic * 256, 0)
        return np.where(has_instance, (things[thing - 1] + 1) * 256 + number, ids)

    def records(self, sample: PanopticSample, ids: np.ndarray) -> Records:
        """Image and annotation of the json.

        Args:
            sample: The image's files.
            ids: (H, W), see :meth:`segment_ids`.

        Raises:
            ValueError: Image and maps differ in size.
        """
        with Image.open(sample.image) as image:
            width, height = image.size
        if ids.shape != (height, width):
            raise ValueError(f"{sample.image} has {height, width} pixels, its maps {ids.shape}")
        segments = []
        for segment in np.unique(ids[ids > 0]).tolist():
            rows, columns = np.nonzero(ids == segment)
            x, y = int(columns.min()), int(rows.min())
            segments.append(
                dict(
                    id=segment,
                    category_id=segment // 256 - 1,
                    area=len(rows),
                    bbox=[x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1],
                    iscrowd=0,
                )
            )
        return (
            dict(id=sample.image_id, file_name=sample.image.name, height=height, width=width),
            dict(image_id=sample.image_id, file_name=sample.panoptic.name, segments_info=segments),
        )

    def write(self, sample: PanopticSample) -> Records:
        """Write one image's PNG.

        Returns:
            Its records.
        """
        ids = self.segment_ids(sample)
        with atomic_write(sample.panoptic) as partial:
            Image.fromarray(np.stack([ids % 256, ids // 256, np.zeros_like(ids)], -1).astype(np.uint8)).save(partial)
        return self.records(sample, ids)

    def convert(self, nproc: int = 1) -> int:
        """Write all PNGs, then the json.

        Args:
            nproc: Number of processes.

        Returns:
            How many images there are.
        """
        records = self._all_records(self.write, nproc, "convert")
        write_text(self.json_file, json.dumps(self.content(records)))
        return len(records)

    def _all_records(self, function: Callable[[PanopticSample], Records], nproc: int, title: str) -> list[Records]:
        return sorted(run_all(function, self.samples(), nproc, title), key=lambda pair: pair[0]["id"])

    def content(self, records: list[Records]) -> dict:
        """The json of records in the order of the images' ids."""
        return dict(
            images=[image for image, _ in records],
            annotations=[annotation for _, annotation in records],
            categories=[
                dict(id=label, name=name, isthing=int(self.is_thing[label])) for label, name in enumerate(self.classes)
            ],
        )

    def check(self, sample: PanopticSample) -> Records:
        """Compare one image's PNG with its source.

        Returns:
            Its records.

        Raises:
            ValueError: The PNG is missing or differs.
        """
        ids = self.segment_ids(sample)
        if not sample.panoptic.is_file():
            raise ValueError(f"{sample.panoptic} does not exist: convert again")
        with Image.open(sample.panoptic) as picture:
            written = np.asarray(picture.convert("RGB")).astype(np.int64) @ np.array([1, 256, 65536])
        if written.shape != ids.shape or (written != ids).any():
            raise ValueError(f"{sample.panoptic} differs from its source: convert again")
        return self.records(sample, ids)

    def verify(self, nproc: int = 1) -> int:
        """Read all written files again and compare them with the source.

        Args:
            nproc: Number of processes.

        Returns:
            How many images there are.

        Raises:
            ValueError: A file is missing or holds something else than its source says.
        """
        records = self._all_records(self.check, nproc, "verify")
        if not self.json_file.is_file() or json.loads(self.json_file.read_text()) != self.content(records):
            raise ValueError(f"{self.json_file} is missing or differs from its source: convert again")
        return len(records)
