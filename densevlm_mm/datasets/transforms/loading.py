"""Loading images in the frame that their annotations are in."""

from typing import Literal

from mmcv.transforms import LoadImageFromFile

from densevlm_mm.datasets.image_files import (
    MAX_PIXELS,
    ImageHeader,
    annotated_frame,
    decode_image,
    other_size,
    read_file,
    read_header,
)
from densevlm_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Load the image at ``img_path``; see :func:`decode_image` for what becomes of grey, CMYK and other images.

    The one loader of all data sets with annotations, in every scope: ``dict(type='densevlm_mm.LoadImage')``. An image
    with an EXIF orientation has two frames, as stored and as shown, and boxes, masks and label maps belong to one of
    them. The annotation says to which: its ``height`` and ``width``, or else the size of the label map at
    ``seg_map_path``. Where both frames have that size (the image is square, or upside down) there is no telling, which
    is an error. An image without annotations is loaded as shown.

    Adds ``img`` (h, w, 3) uint8 BGR, ``img_shape`` and ``ori_shape`` (h, w).

    Args:
        orientation: ``'annotated'`` as described, or ``'stored'`` or ``'shown'`` for every image.
        max_pixels: Largest number of pixels that an image may have; a small file can ask for any amount of memory.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        ValueError: If ``orientation`` is another, the image is not of the annotated size, or its frame is in doubt.
        FileNotFoundError: If there is no such file.
        UnreadableImageError: If the file is not a complete image, or too large.
    """

    image_arguments: tuple[str, ...] = ("color_type", "imdecode_backend")  # docs/teacher_cache.md

    def __init__(
        self,
        orientation: Literal["annotated", "stored", "shown"] = "annotated",
        max_pixels: int = MAX_PIXELS,
        *,
        backend_args: dict | None = None,
    ) -> None:
        if orientation not in ("annotated", "stored", "shown"):
            raise ValueError(f"orientation must be 'annotated', 'stored' or 'shown', not {orientation!r}")
        if max_pixels < 1:
            raise ValueError(f"max_pixels must be at least 1, not {max_pixels}")
        super().__init__(backend_args=backend_args)
        self.orientation = orientation
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict:
        """Add the image.

        Args:
            results: Must hold ``img_path``; may hold ``height`` and ``width``, or ``seg_map_path``.

        Returns:
            ``results`` with ``img``, ``img_shape`` and ``ori_shape``.
        """
        path = results["img_path"]
        content = read_file(path, self.backend_args)
        header = read_header(content, path, self.max_pixels)
        annotated = self._annotated_shape(results, header)
        if self.orientation == "annotated":
            frame = annotated_frame(header, annotated, path)
        else:
            frame = "shown" if self.orientation == "shown" else "stored"
        image = decode_image(content, path, frame, self.max_pixels, header)
        if annotated is not None and image.shape[:2] != annotated:
            raise ValueError(other_size(path, image.shape[:2], annotated))
        results["img"] = image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results

    def _annotated_shape(self, results: dict, header: ImageHeader) -> tuple[int, int] | None:
        if "height" in results and "width" in results:
            return (results["height"], results["width"])
        if header.orientation != 1 and results.get("seg_map_path"):  # elsewhere LoadSegLabels compares the sizes
            label_path = results["seg_map_path"]
            label = read_header(read_file(label_path, self.backend_args), label_path, self.max_pixels)
            return label.shape("stored")
        return None

    def __repr__(self) -> str:
        """Show the arguments."""
        return f"LoadImage(orientation={self.orientation!r}, max_pixels={self.max_pixels})"
