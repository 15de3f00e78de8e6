"""Teacher logits of all cells of an image as one record, without what no loss reads."""

import numpy as np
import torch
from torch import Tensor

from densevlm_mm.models.layers import retrieve

# C cells of the grid mode, R regions of a step, M regions that are dropped, K categories.

_FAR = -1e4  # a logit that softmax turns into exactly 0 in float32, and that keeps 0 * log(q) finite
_MARGIN = 1e-4  # no other processor's softmax may find a region surer than the threshold that was dropped on this one


class LogitRecords:
    """Encode the cosines (C, K) of an image's cells, and decode those of some.

    Of a region whose confidence does not exceed the threshold the loss reads the confidence alone, so its K cosines are
    replaced by one number: the normaliser Z of its softmax, of which the confidence is 1 / Z. When read it becomes the
    simplest row with that normaliser, see :func:`rows_of_normalizers`. ``encode`` proves on each row that its
    confidence is reproduced to the bit, and keeps a row whole if it is not.

    A record: C float32, the normaliser of each cell or 0 where its row is kept; then the kept rows.

    Args:
        num_cells: C.
        num_classes: K.
        dtype: Of the kept rows, ``'float32'`` or ``'float16'``.
        min_threshold: Confidence that a kept region exceeds; 0 keeps all.
        temperature: Of the loss's retrieval.
    """

    def __init__(self, num_cells: int, num_classes: int, dtype: str, min_threshold: float, temperature: float) -> None:
        self.num_cells = num_cells
        self.num_classes = num_classes
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.min_threshold = min_threshold
        self.temperature = temperature

    def encode(self, logits_CK: Tensor) -> bytes:
        """Make a record of the float32 cosines of all cells."""
        confidence_C = retrieve(logits_CK, self.temperature).confidences
        normalizer_C = _normalizers(confidence_C.numpy(), self.num_classes)
        rows_CK = rows_of_normalizers(normalizer_C, self.num_classes, self.temperature)
        is_exact_C = retrieve(torch.from_numpy(rows_CK), self.temperature).confidences == confidence_C
        dropped_C = (is_exact_C & (confidence_C <= self.min_threshold * (1 - _MARGIN))).numpy()
        normalizer_C[~dropped_C] = 0
        rows = logits_CK.numpy()[~dropped_C].astype(self.dtype)
        return normalizer_C.astype("<f4").tobytes() + rows.tobytes()

    def decode(self, record: bytes, cell_ids: Tensor) -> Tensor:
        """Read the cosines (R, K) float32 of some cells."""
        ids_R = cell_ids.numpy()
        normalizer_C, rows = self._parts(record)
        is_kept_C = normalizer_C == 0
        place_C = is_kept_C.cumsum() - 1
        is_kept_R = is_kept_C[ids_R]
        logits_RK = np.empty((len(ids_R), self.num_classes), dtype=np.float32)
        logits_RK[is_kept_R] = rows[place_C[ids_R[is_kept_R]]]
        dropped_M = normalizer_C[ids_R[~is_kept_R]]
        logits_RK[~is_kept_R] = rows_of_normalizers(dropped_M, self.num_classes, self.temperature)
        return torch.from_numpy(logits_RK)

    def difference(self, record: bytes, other: bytes) -> float:
        """Largest difference of a confidence, and of a cosine of a cell that both records keep."""
        cells = torch.arange(self.num_cells)
        ours, theirs = self.decode(record, cells), self.decode(other, cells)
        confidences = [retrieve(logits, self.temperature).confidences for logits in (ours, theirs)]
        both = torch.from_numpy((self._parts(record)[0] == 0) & (self._parts(other)[0] == 0))
        cosines = (ours[both] - theirs[both]).abs().flatten()
        return float(torch.cat([cosines, (confidences[0] - confidences[1]).abs()]).max())

    def _parts(self, record: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Normalisers (C,) and kept rows."""
        normalizer_C = np.frombuffer(record, "<f4", self.num_cells)
        rows = np.frombuffer(record, self.dtype, offset=normalizer_C.nbytes)
        return normalizer_C, rows.reshape(-1, self.num_classes)


def rows_of_normalizers(normalizer_M: np.ndarray, num_classes: int, temperature: float) -> np.ndarray:
    """Make rows of cosines whose softmax has given normalisers.

    With Z = n + r, n whole and r in [0, 1): n categories that score highest, one whose exponential is r times theirs,
    and others so far below that their exponentials are 0. The sum is then Z in whatever order it is taken, because n
    and r, a multiple of Z's last bit, add without rounding. The exponential of the one may itself be off by its last
    bit, which for Z >= 2 (a confidence of at most a half) is lost in the sum.

    Args:
        normalizer_M: Sums of exponentials relative to the highest (M,) float32, at least 1.
        num_classes: K, at least every normaliser.
        temperature: Of the softmax over the cosines.

    Returns:
        (M, K) float32, finite.
    """
    whole_M = np.floor(normalizer_M)
    rest_M = (normalizer_M - whole_M).astype(np.float64)
    class_K = np.arange(num_classes)
    logits_MK = np.where(class_K < whole_M[:, None], 0.0, _FAR)
    has_rest_M = rest_M > 0
    logits_MK[has_rest_M, whole_M[has_rest_M].astype(np.int64)] = np.log(rest_M[has_rest_M])
    return (logits_MK * temperature).astype(np.float32)


def _normalizers(confidence_C: np.ndarray, num_classes: int) -> np.ndarray:
    """Float32 numbers in [1, K] whose reciprocals are the confidences, or at least near them."""
    one = np.float32(1)
    confidence_C = np.nan_to_num(confidence_C, nan=1.0).clip(one / np.float32(num_classes), one)
    nearest_C = one / confidence_C
    candidates = [nearest_C, np.nextafter(nearest_C, one), np.nextafter(nearest_C, np.float32(np.inf))]
    fitting = [(one / candidate == confidence_C) & (candidate <= num_classes) for candidate in candidates]
    return np.select(fitting, candidates, nearest_C.clip(one, np.float32(num_classes)))
