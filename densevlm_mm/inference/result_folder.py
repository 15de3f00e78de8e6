"""Predictions on their way into a folder: records, pictures, videos."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process

from densevlm_mm.evaluation import PredictionRecorder
from densevlm_mm.inference.inputs import UnreadableImage, open_video
from densevlm_mm.inference.prediction import Prediction
from densevlm_mm.inference.videos import video_writer
from densevlm_mm.output_names import OutputFolder


class ResultFolder:
    """Write predictions as :class:`~densevlm_mm.evaluation.PredictionRecorder` does, and their pictures.

    Args:
        folder: ``predictions.json``, ``label_maps/``, ``pictures/`` and ``videos/`` are in it.
        metainfo: Names of the classes of a model whose predictions carry none.
        score_thr: Only detections with a higher score are written.
        show: Whether to show pictures in a window too.
        wait_time: Seconds that a shown picture stays.
    """

    def __init__(
        self, folder: str | Path, metainfo: dict[str, Any], score_thr: float, show: bool = False, wait_time: float = 2
    ) -> None:
        self.folder = Path(folder)
        self.show, self.wait_time = show, wait_time
        self._recorder = PredictionRecorder(str(folder), score_thr)
        self._recorder.dataset_meta = metainfo
        self._pictures = OutputFolder(self.folder / "pictures")
        self._num_written = 0

    def write_images(self, results: Iterable[Prediction | UnreadableImage]) -> None:
        """Write each result before the next one is asked for; a photograph with boxes is a JPEG, others are PNG."""
        for result in results:
            self._record(result)
            if isinstance(result, Prediction):
                is_photo = Path(result.path).suffix.lower() in (".jpg", ".jpeg") and result.label_map is None
                suffix = ".jpg" if is_photo else ".png"
                result.save(self._pictures.path(result.sample, suffix))
                self._show(result)

    def write_video(self, path: str, results: Iterable[Prediction | UnreadableImage]) -> None:
        """Write the frames of a video as a video, ``videos/<name>.mp4``, and their records.

        Args:
            path: Of the video that they are of.
            results: Of its frames.
        """
        with video_writer(self.folder / "videos" / f"{Path(path).stem}.mp4", open_video(path).fps) as write:
            for result in results:
                self._record(result)
                if isinstance(result, Prediction):
                    write(result.overlay())
                    self._show(result)

    def finish(self, num_images: int | None = None) -> dict[str, float]:
        """Make the list of all records; see :meth:`PredictionRecorder.compute_metrics`.

        Args:
            num_images: Of all processes; None: as many as were written here.
        """
        return self._recorder.evaluate(self._num_written if num_images is None else num_images)

    def _record(self, result: Prediction | UnreadableImage) -> None:
        if isinstance(result, Prediction):
            sample = result.sample.to_dict()
        else:
            sample = dict(img_path=result.path, unreadable=result.reason)
        self._recorder.process(None, [sample])
        self._num_written += 1

    def _show(self, result: Prediction) -> None:
        if self.show and is_main_process():
            result.show(self.wait_time)
