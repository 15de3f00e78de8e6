"""The config of an encoder that segments without training: `encoder_config`."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from mmengine.config import Config

from densevlm_mm.models.clip import resolve_model
from densevlm_mm.tiny_scenes.clip import STUDENT_NAME, TEACHER_NAME
from densevlm_mm.vocabulary.vocabulary import VocabularySource

DENSE_SIZE = 512  # longer side that DenseVLM trains and evaluates at


def encoder_config(
    checkpoint: str,
    model_name: str | None = None,
    *,
    vocabulary: VocabularySource,
    templates: str | Sequence[str] | None = None,
    input_size: int | None = None,
    window: int | None = None,
) -> Config:
    """Config of a :class:`~densevlm_mm.models.segmentors.ZeroShotSegmentor`, for the tools and the inferencer.

    Args:
        checkpoint: The encoder, with its text tower, see `densevlm_mm.models.clip.CheckpointName`.
        model_name: Its architecture, if the file does not say it.
        vocabulary: Names to look for.
        templates: Prompt templates; None: ``'vild'``, as in the evaluation of regions, for the TinyScenes CLIPs their
            own.
        input_size: Longer side in pixels that images are resized to. None: 512, as DenseVLM trains, or the encoder's
            own size if that is larger, or small as that of the TinyScenes CLIPs.
        window: Side of sliding windows in pixels; None: none.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If it does not say its architecture.
    """
    architecture = resolve_model(model_name, checkpoint).architecture
    if input_size is None:
        native = architecture.cfg["vision_cfg"].get("image_size", 224)
        native = native if isinstance(native, int) else max(native)
        input_size = native if native < 128 else max(native, DENSE_SIZE)
    if templates is None:
        templates = "tiny_scenes" if architecture.name in (STUDENT_NAME, TEACHER_NAME) else "vild"
    embeddings: dict[str, Any] = dict(vocabulary=vocabulary, templates=templates)
    test_cfg = dict(mode="whole") if window is None else dict(mode="slide", crop_size=window, stride=window // 2)
    encoder = dict(type="densevlm_mm.DenseImageEncoder", model_name=model_name, checkpoint=checkpoint)
    pipeline = [
        dict(type="densevlm_mm.LoadImage"),
        dict(type="PackSegInputs", meta_keys=("img_path", "ori_shape", "img_shape")),
    ]
    import_module("densevlm_mm.segmentation")  # registers it; with mmseg, which detectors do without
    return Config(
        dict(
            default_scope="mmseg",
            model=dict(
                type="ZeroShotSegmentor",
                encoder=encoder,
                class_embeddings=embeddings,
                input_size=input_size,
                test_cfg=dict(test_cfg, keep_scores=False),
            ),
            test_dataloader=dict(dataset=dict(type="LabelMapDataset", pipeline=pipeline)),
        )
    )
