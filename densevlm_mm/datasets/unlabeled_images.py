"""Images without annotations, which is all that the pretraining reads."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from mmengine import fileio
from mmengine.dataset import BaseDataset
from msgspec import Struct

from densevlm_mm.datasets.annotations.image_names import join_image_path
from densevlm_mm.datasets.annotations.json_files import read_json, require_existing
from densevlm_mm.datasets.annotations.problems import Problems
from densevlm_mm.datasets.file_listing import missing_files, summarize
from densevlm_mm.datasets.skipped_images import SkippedImages, UnreadableImagePolicy
from densevlm_mm.registry import DATASETS
from densevlm_mm.vocabulary.text_files import parse_lines

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class ListedImage(Struct, gc=False):
    """An image of a JSON, as it is parsed."""

    id: int | str | None = None
    file_name: str | None = None
    coco_url: str | None = None


class ImageList(Struct):
    """The part of an annotation file that is read."""

    images: list[ListedImage]


@DATASETS.register_module()
class UnlabeledImageDataset(UnreadableImagePolicy, BaseDataset):
    """Images of a COCO-format file, a folder or a list; annotations are never read.

    The order is that of the JSON or the list, and alphabetical for a folder. ``img_id`` is the JSON's image id,
    otherwise the path below the folder (or as listed), so that it does not change when images are added.

    What is done with an unreadable image (missing, empty, truncated, no image): :class:`UnreadableImagePolicy`.

    Args:
        source: COCO-format ``.json`` (LVIS too; only ``images`` is used), ``.txt`` with a path a line (UTF-8; ``#``
            begins a comment), or a folder that is searched with its subfolders. Relative to ``data_root``.
        data_root: Root of ``source`` and ``data_prefix``.
        data_prefix: ``img``: folder that the paths of a JSON or list are relative to. Not for a folder as source.
        pipeline: Transforms.
        on_error: ``raise`` or ``skip``.
        max_skipped: Most unreadable images that are tolerated with ``skip``.
        indices: The first so many images (int), or these (sequence).
        serialize_data: Keep the list as one buffer that the workers share.
        test_mode: As in ``BaseDataset``.
        lazy_init: Leave reading the list for later.
        backend_args: Arguments of mmengine's file backend for the list.
        allowed_roots: Folders that absolute paths in a JSON or list, and paths with ``..``, may lead to.

    Raises:
        ValueError: Unknown ``on_error``; an empty, malformed or repeating source; too many unreadable images.
        FileNotFoundError: The source does not exist, or an image of it (with ``on_error='skip'``: the first).
        UnreadableImageError: From an item, with ``on_error='raise'``.

    Example:
        >>> images = UnlabeledImageDataset('annotations/instances_train2017.json', data_root='data/coco',
        ...                                data_prefix=dict(img='train2017'))
    """

    METAINFO = dict(dataset_type="unlabeled_images")

    def __init__(
        self,
        source: str,
        data_root: str = "",
        data_prefix: dict | None = None,
        pipeline: Sequence[dict | Callable] = (),
        on_error: Literal["raise", "skip"] = "raise",
        max_skipped: int = 100,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        test_mode: bool = False,
        lazy_init: bool = False,
        backend_args: dict | None = None,
        allowed_roots: Sequence[str] = (),
    ) -> None:
        self.set_policy(on_error, max_skipped)
        self.source = source
        self.backend_args = backend_args
        self.allowed_roots = tuple(allowed_roots)
        super().__init__(
            ann_file=source,
            data_root=data_root,
            data_prefix=dict(img="") if data_prefix is None else data_prefix,
            pipeline=list(pipeline),
            indices=indices,
            serialize_data=serialize_data,
            test_mode=test_mode,
            lazy_init=lazy_init,
        )

    def load_data_list(self) -> list[dict]:
        """List the images.

        Returns:
            Dicts with ``img_id`` and ``img_path``.
        """
        require_existing(self.ann_file, "image source", self.backend_args)
        if self.ann_file.endswith(".json"):
            ids, paths = self._list_json()
        elif self.ann_file.endswith(".txt"):
            ids, paths = self._list_text()
        else:
            ids, paths = self._list_folder()
        if not paths:
            raise ValueError(f"image source {self.ann_file} lists no image: nothing to train on")
        repeated, times = Counter(ids).most_common(1)[0]
        if times > 1:
            raise ValueError(f"image source {self.ann_file} lists {repeated!r} {times} times: remove the repetitions")
        self._require_images(paths)
        return [dict(img_id=img_id, img_path=path) for img_id, path in zip(ids, paths, strict=True)]

    def get_subset_(self, indices: Sequence[int] | int) -> None:
        """Keep a subset of the images, in place.

        Args:
            indices: The first so many images (int), or these (sequence).
        """
        super().get_subset_(indices)
        self._skips = SkippedImages(self.max_skipped)

    def get_subset(self, indices: Sequence[int] | int) -> "UnlabeledImageDataset":
        """Make a data set of a subset of the images.

        Args:
            indices: The first so many images (int), or these (sequence).
        """
        subset = super().get_subset(indices)
        subset._skips = SkippedImages(self.max_skipped)
        return subset

    def __getitem__(self, idx: int) -> Any:
        """Sample of the pipeline; unlike ``BaseDataset``, never another image in place of an unreadable one."""
        self.full_init()
        return self.prepare_data(idx)

    def _require_images(self, paths: list[str]) -> None:
        """Check that the images in use are there, before hours of training meet one that is not."""
        require_existing(paths[0], "the first image", self.backend_args)
        if isinstance(self._indices, int):
            paths = paths[: self._indices]
        elif self._indices is not None:
            paths = [paths[index] for index in self._indices]
        missing = missing_files(paths) if self.on_error == "raise" else []
        if missing:
            raise FileNotFoundError(
                f"image source {self.ann_file}: {len(missing)} of {len(paths)} images do not exist: "
                f"{summarize(missing)}. Fetch them, take them off the list, or leave them out with on_error='skip'"
            )

    def _join(self, path: str) -> str:
        return join_image_path(self.data_prefix["img"], path, f"image source {self.ann_file}", self.allowed_roots)

    def _list_json(self) -> tuple[list, list[str]]:
        images = read_json(self.ann_file, "image source", ImageList, self.backend_args).images
        # LVIS only gives a URL that ends in, for instance, train2017/000000000009.jpg.
        names = [image.file_name or "/".join((image.coco_url or "").split("/")[-2:]) for image in images]
        problems = Problems(f"image source {self.ann_file}")
        problems.add([image.id is None for image in images], "no 'id'", lambda row: f"image {names[row]!r}")
        problems.add(
            [not name for name in names], "no 'file_name' (or LVIS's 'coco_url')", lambda row: f"images[{row}]"
        )
        problems.raise_if_any()
        return [image.id for image in images], [self._join(name) for name in names]

    def _list_text(self) -> tuple[list, list[str]]:
        content = fileio.get(self.ann_file, backend_args=self.backend_args)
        names = parse_lines(content, f"image source {self.ann_file}")
        return names, [self._join(name) for name in names]

    def _list_folder(self) -> tuple[list, list[str]]:
        if not fileio.isdir(self.ann_file, backend_args=self.backend_args):
            raise ValueError(f"image source {self.ann_file} is neither a .json, nor a .txt, nor a folder")
        if self.data_prefix["img"].rstrip("/") != self.data_root.rstrip("/"):
            raise ValueError(
                f"data_prefix {self.data_prefix} means nothing with the folder {self.ann_file}: leave it out"
            )
        files = fileio.list_dir_or_file(self.ann_file, list_dir=False, recursive=True, backend_args=self.backend_args)
        names = sorted(name for name in files if name.lower().endswith(IMAGE_EXTENSIONS))
        return names, [fileio.join_path(self.ann_file, name) for name in names]
