"""Detectors and segmentors: our inferencer, and those of mmdet and mmseg."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmseg.apis import MMSegInferencer, inference_model, init_model

from densevlm_mm.apis import use_vocabulary
from densevlm_mm.inference import OpenVocabularyInferencer

CONFIGS = {name: f"configs/tiny/{name}_original.py" for name in ("fvit", "san", "cat_seg")}
NAMES = ["Boat", "fishing boat", "bus"]  # of which the detector's training saw the first


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Checkpoint of a tiny model as tools/train.py would write it before the first step."""
    folder, written = tmp_path_factory.mktemp("checkpoints"), {}

    def write(name: str) -> str:
        if name not in written:
            cfg = Config.fromfile(CONFIGS[name])
            torch.manual_seed(0)
            with DefaultScope.overwrite_default_scope(cfg.default_scope):
                model = MODELS.build(cfg.model)
            meta = dict(dataset_meta=dict(classes=("a", "b"), palette=[[1, 2, 3], [4, 5, 6]]))
            written[name] = str(folder / f"{name}.pth")
            torch.save(dict(meta=meta, state_dict=model.state_dict()), written[name])
        return written[name]

    return write


def found(see: OpenVocabularyInferencer, path: Path) -> tuple[list[str], Any]:
    result = see(path)
    return result.names, result.boxes if result.label_map is None else result.label_map


@pytest.mark.parametrize("name", CONFIGS)
def test_other_names_are_those_of_a_model_that_was_built_with_them(
    name: str, checkpoint: Callable[[str], str], photos: Path
) -> None:
    cfg = Config.fromfile(CONFIGS[name])
    use_vocabulary(cfg, NAMES)
    built = OpenVocabularyInferencer(cfg, checkpoint(name), score_thr=0, device="cpu")
    given = OpenVocabularyInferencer(CONFIGS[name], checkpoint(name), ["sky", "cow"], score_thr=0, device="cpu")
    assert given.classes == ("sky", "cow")
    given.set_vocabulary(NAMES)
    assert given.classes == built.classes == tuple(NAMES)
    (names, places), (others, same) = found(given, photos / "000001.jpg"), found(built, photos / "000001.jpg")
    assert names == others
    assert set(names) <= set(NAMES)
    np.testing.assert_allclose(places, same, atol=1e-4)
    if name == "fvit":
        result = given(photos / "000001.jpg")
        assert all(novel == (found != "Boat") for found, novel in zip(result.names, result.is_novel, strict=True))


def test_a_checkpoint_that_does_not_fit_is_refused(checkpoint: Callable[[str], str]) -> None:
    with pytest.raises(ValueError, match=r"fvit\.pth does not fit .*cat_seg_original\.py"):
        OpenVocabularyInferencer(CONFIGS["cat_seg"], checkpoint("fvit"), device="cpu")
    with pytest.raises(ValueError, match="takes no regions and texts"):
        OpenVocabularyInferencer(CONFIGS["fvit"], checkpoint("fvit"), device="cpu").classify(
            np.zeros((8, 8, 3), np.uint8), points=[[1, 1]]
        )


def test_mmdets_inferencer_takes_our_configs(checkpoint: Callable[[str], str], photos: Path) -> None:
    detect = DetInferencer(CONFIGS["fvit"], checkpoint("fvit"), device="cpu", show_progress=False)
    result = detect(str(photos / "000001.jpg"), no_save_vis=True, return_vis=True)
    ours = OpenVocabularyInferencer(CONFIGS["fvit"], checkpoint("fvit"), score_thr=0, device="cpu")
    prediction = ours(photos / "000001.jpg")
    np.testing.assert_allclose(result["predictions"][0]["scores"], prediction.scores, atol=1e-4)
    assert result["visualization"][0].ndim == 3


@pytest.mark.parametrize("name", ["san", "cat_seg"])
def test_mmsegs_inferencer_and_init_model_take_our_configs(
    name: str, checkpoint: Callable[[str], str], photos: Path
) -> None:
    path = str(photos / "000001.jpg")
    expected = OpenVocabularyInferencer(CONFIGS[name], checkpoint(name), device="cpu")(path).label_map
    segment = MMSegInferencer(CONFIGS[name], checkpoint(name), device="cpu")
    segment.show_progress = False
    np.testing.assert_array_equal(segment(path)["predictions"], expected)
    model = init_model(CONFIGS[name], checkpoint(name), device="cpu")
    np.testing.assert_array_equal(inference_model(model, path).pred_sem_seg.data[0], expected)
