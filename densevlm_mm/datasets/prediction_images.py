"""Images of a user, for predictions: one that cannot be read does not end the run."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.dataset import BaseDataset

from densevlm_mm.registry import DATASETS


class UnreadableImage(NamedTuple):
    """What takes a sample's place when an image cannot be read or prepared.

    Args:
        img_path: The image; in a batch, a tuple of one.
        reason: Why, in one line; in a batch likewise.
    """

    img_path: Any
    reason: Any


@DATASETS.register_module()
class PredictionImageDataset(BaseDataset):
    """The images of a listing, in its order, without annotations.

    An image for which the pipeline fails becomes an :class:`UnreadableImage`; :class:`PredictionLoop` takes it down and
    goes on. Load with ``batch_size=1``: photographs have different sizes.

    Args:
        source: JSON, a list with ``img_path`` and ``rel_path``, which results are named after, of each image.
        pipeline: Transforms of a test, without those that read annotations.
        metainfo: ``classes`` of a model whose predictions carry no names.

    Raises:
        FileNotFoundError: If there is no such listing.
    """

    METAINFO = dict(dataset_type="prediction_images")

    def __init__(self, source: str, pipeline: Sequence[dict | Callable], metainfo: dict | None = None) -> None:
        super().__init__(ann_file=source, metainfo=metainfo, pipeline=list(pipeline), test_mode=True)

    def load_data_list(self) -> list[dict]:
        """List the images: dicts with ``img_path``, ``rel_path`` and ``img_id``."""
        listing = json.loads(Path(self.ann_file).read_text(encoding="utf-8"))
        # The listing is a result too, in which the home directory is '~'.
        return [
            dict(image, img_path=os.path.expanduser(image["img_path"]), img_id=index)
            for index, image in enumerate(listing)
        ]

    def __getitem__(self, idx: int) -> Any:
        """Sample of the pipeline, or an :class:`UnreadableImage`."""
        info = self.get_data_info(idx)
        path = info["img_path"]
        try:
            return self.pipeline(info)
        except FileNotFoundError:
            reason = "there is no such file" + (", only a link to it" if Path(path).is_symlink() else "")
        except (OSError, ValueError) as error:
            reason = str(error)
        except Exception as error:  # whatever a decoder or transform makes of a strange file, the others go on
            reason = f"{type(error).__name__}: {error}"
        return UnreadableImage(path, " ".join(reason.split()))
