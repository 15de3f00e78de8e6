"""Images with annotated things and stuff, for region classification."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from densevlm_mm.datasets.annotations.image_names import join_image_path
from densevlm_mm.datasets.annotations.instances import MAX_OVERHANG
from densevlm_mm.datasets.annotations.json_files import require_existing
from densevlm_mm.datasets.annotations.panoptic import PanopticFile, read_panoptic
from densevlm_mm.datasets.annotations.records import ImageRecord, PanopticRecord
from densevlm_mm.registry import DATASETS
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.class_matching import ClassFinder


@DATASETS.register_module()
class PanopticRegionDataset(BaseDataset):
    """Images of a COCO-format panoptic data set (COCO, ADE20K converted to it, TinyScenes).

    Labels are positions in the vocabulary. The categories of the file are matched with its classes either by ``name``
    (in any spelling, or a synonym of the class; same thing flag; the file may lack classes) or by ``order`` (ascending
    category id; as many categories as classes, with the same thing flags one by one). ADE20K's files call classes by
    several names: use ``order`` for them.

    ``metainfo``: ``classes`` (names), ``is_thing`` (flags), ``vocabulary_name``.

    Args:
        ann_file: Panoptic JSON, relative to ``data_root``.
        data_root: Root of ``ann_file`` and ``data_prefix``.
        data_prefix: Folders ``img`` of the images and ``seg`` of the PNGs.
        vocabulary: Packaged name or file of the vocabulary.
        match_categories: ``name`` or ``order``.
        pipeline: Transforms; :class:`~densevlm_mm.datasets.transforms.LoadPanopticRegions` makes the regions.
        indices: The first so many images (int), or these (sequence).
        serialize_data: Keep the annotations as one buffer that the workers share.
        test_mode: As in ``BaseDataset``: a pipeline that returns ``None`` is an error.
        lazy_init: Leave reading the annotations for later.
        backend_args: Arguments of mmengine's file backend for the JSON.
        max_overhang: Pixels that a thing's box may reach over the border of its image.
        allowed_roots: Folders that absolute file names, and names with ``..``, may lead to.

    Raises:
        ValueError: Categories do not match the vocabulary; the file is malformed or empty.
        FileNotFoundError: The file, or the first image or PNG, does not exist.

    Example:
        >>> val = PanopticRegionDataset('annotations/panoptic_val2017.json', data_root='data/coco',
        ...     data_prefix=dict(img='val2017', seg='annotations/panoptic_val2017'), vocabulary='coco_panoptic_133')
    """

    METAINFO = dict(dataset_type="panoptic_regions")

    def __init__(
        self,
        ann_file: str,
        data_root: str = "",
        data_prefix: dict | None = None,
        vocabulary: str = "coco_panoptic_133",
        match_categories: str = "name",
        pipeline: Sequence[dict | Callable] = (),
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        test_mode: bool = True,
        lazy_init: bool = False,
        backend_args: dict | None = None,
        max_overhang: float = MAX_OVERHANG,
        allowed_roots: Sequence[str] = (),
    ) -> None:
        if match_categories not in ("name", "order"):
            raise ValueError(f"match_categories must be 'name' or 'order', not {match_categories!r}")
        prefix = dict(img="", seg="") if data_prefix is None else data_prefix
        if set(prefix) != {"img", "seg"}:
            raise ValueError(f"data_prefix needs the folders 'img' and 'seg', but has {sorted(prefix)}")
        self.vocabulary = Vocabulary.load(vocabulary)
        self.match_categories = match_categories
        self.backend_args = backend_args
        self.max_overhang = max_overhang
        self.allowed_roots = tuple(allowed_roots)
        metainfo = dict(
            classes=tuple(self.vocabulary.classes),
            is_thing=tuple(bool(flag) for flag in self.vocabulary.thing_mask),
            vocabulary_name=self.vocabulary.name,
        )
        super().__init__(
            ann_file=ann_file,
            metainfo=None,
            data_root=data_root,
            data_prefix=prefix,
            pipeline=list(pipeline),
            indices=indices,
            serialize_data=serialize_data,
            test_mode=test_mode,
            lazy_init=True,
        )
        self._metainfo.update(metainfo)  # not through BaseDataset, which takes strings in it for names of files
        if not lazy_init:
            self.full_init()

    def load_data_list(self) -> list[dict]:
        """Read the annotations.

        Returns:
            Dicts with ``img_id``, ``img_path``, ``seg_map_path``, ``height``, ``width`` and ``segments_info`` (dicts
            with ``id``, ``label``, ``is_thing``, ``bbox_xyxy`` in source pixels or None, ``iscrowd``).
        """
        file = read_panoptic(self.ann_file, self.max_overhang, bool(self.allowed_roots), self.backend_args)
        categories = [dict(id=each.id, name=each.name, isthing=each.isthing) for each in file.categories]
        labels = match_categories(categories, self.vocabulary, self.match_categories, self.ann_file)
        data_list = [
            self._parse(image, file.annotations[image.id], labels, file)
            for image in file.images
            if image.id in file.annotations
        ]
        if not data_list:
            raise ValueError(f"{file.source} has no image with an annotation")
        if len(data_list) < len(file.images):
            num_left_out = len(file.images) - len(data_list)
            print_log(f"{self.ann_file}: left out {num_left_out} images without annotation", "current", logging.WARNING)
        require_existing(data_list[0]["img_path"], "the first image", self.backend_args)
        require_existing(data_list[0]["seg_map_path"], "the first panoptic PNG", self.backend_args)
        return data_list

    def _parse(
        self, image: ImageRecord, annotation: PanopticRecord, labels: dict[int, int], file: PanopticFile
    ) -> dict:
        segments = []
        for segment in annotation.segments_info or ():
            label = labels[segment.category_id]
            x, y, width, height = segment.bbox or (0, 0, 0, 0)
            segments.append(
                dict(
                    id=segment.id,
                    label=label,
                    is_thing=self._metainfo["is_thing"][label],
                    bbox_xyxy=(x, y, x + width, y + height) if segment.bbox else None,
                    iscrowd=segment.iscrowd == 1,
                )
            )
        return dict(
            img_id=image.id,
            img_path=self._join("img", image.file_name, file),
            seg_map_path=self._join("seg", annotation.file_name, file),
            height=image.height,
            width=image.width,
            segments_info=segments,
        )

    def _join(self, prefix: str, name: str | None, file: PanopticFile) -> str:
        return join_image_path(self.data_prefix[prefix], str(name), file.source, self.allowed_roots)


def match_categories(categories: Sequence[dict], vocabulary: Vocabulary, rule: str, source: str) -> dict[int, int]:
    """Match the categories of a panoptic file with the classes of a vocabulary.

    Args:
        categories: Dicts with ``id``, ``name`` and ``isthing``.
        vocabulary: K classes with thing flags.
        rule: ``name`` or ``order``, see :class:`PanopticRegionDataset`.
        source: The file, for the error.

    Returns:
        Category id to label, 0 to K - 1.

    Raises:
        ValueError: They do not match.
    """
    ordered = sorted(categories, key=lambda category: category["id"])
    flags = np.array([bool(category["isthing"]) for category in ordered])
    same_flags = len(ordered) == len(vocabulary.classes) and bool((flags == vocabulary.thing_mask).all())
    if rule == "order":
        if not same_flags:
            raise ValueError(
                f"{source} has {len(ordered)} categories ({flags.sum()} things), vocabulary {vocabulary.name!r} has "
                f"{len(vocabulary.classes)} classes ({vocabulary.thing_mask.sum()} things), and thing flags must "
                "agree one by one: choose "
                "the vocabulary of this data set, or match_categories='name'"
            )
        return {category["id"]: label for label, category in enumerate(ordered)}
    finder = ClassFinder(vocabulary.classes, vocabulary.synonyms)
    # A name may be that of a thing and of stuff: the flag tells them apart.
    found = [
        [label for label in finder.find(category["name"]) if vocabulary.thing_mask[label] == thing]
        for category, thing in zip(ordered, flags, strict=True)
    ]
    unknown = [category["name"] for category, labels in zip(ordered, found, strict=True) if len(labels) != 1]
    if unknown:
        hint = "; counts and thing flags agree, so match_categories='order' would do" if same_flags else ""
        raise ValueError(
            f"{len(unknown)} categories of {source} are not in vocabulary {vocabulary.name!r} as thing or stuff "
            "respectively: "
            f"{unknown[:5]}. Choose the vocabulary of this data set{hint}."
        )
    label_of = {category["id"]: labels[0] for category, labels in zip(ordered, found, strict=True)}
    for label, times in Counter(label_of.values()).items():
        if times > 1:
            names = [category["name"] for category in ordered if label_of[category["id"]] == label]
            raise ValueError(f"{source}: categories {names} are all class {vocabulary.classes[label]!r}: join them")
    return label_of
