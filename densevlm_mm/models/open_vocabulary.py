"""What an open-vocabulary detector or segmentor is: the contract that tools, metrics, recorder and pictures rely on.

Nothing outside of the models asks for a model class by its name: whatever follows the protocol is tested, predicted
with, augmented and drawn.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from mmengine.config import ConfigDict
from torch import Tensor

from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.vocabulary.names import normal_form
from densevlm_mm.vocabulary.vocabulary import VocabularySource


@runtime_checkable
class OpenVocabularyModel(Protocol):
    """A detector or segmentor whose classes are text.

    **Where its classes come from.** A vocabulary in its config, independent of the data set's class list: names and
    prompts become class embeddings when the model is built or first used. Label i of a prediction is the i-th of
    :meth:`predicted_classes`. A model that is tested on other classes than it was trained on has two vocabularies.

    **How a user's names replace them.** By the config, before the model is built: :meth:`use_vocabulary` puts a
    vocabulary into it; or in the built model, for predictions: :meth:`set_vocabulary`. No weight changes; class
    embeddings are no part of a checkpoint.

    **What a segmentor predicts.** Data samples at the size of the original image with

    - ``pred_sem_seg``: labels (1, H, W) int64;
    - ``seg_logits``: scores (T, H, W), finite, larger is likelier. Their mean over several views of an image is a score
      of the image, whatever they are (sums over masks, means of sigmoids): nobody takes a softmax of them. A segmentor
      may leave them out to save memory; then there is no test-time augmentation;
    - the meta information ``vocabulary_classes``: the names of the T classes; and ``training_classes``.

    **What a detector predicts.** ``pred_instances`` in the frame of the original image with ``bboxes``, ``scores``
    (finite), ``labels``, their names ``label_names`` (list of N), and ``is_novel`` (N,) bool where it is known which
    classes training held out.

    Scores that are not finite are an error that names the image, see :func:`check_finite_scores`.
    """

    def training_classes(self) -> tuple[str, ...]:
        """Names of the classes that labels of training are places in."""

    def predicted_classes(self) -> tuple[str, ...]:
        """Names of the classes that predictions are over, in the order of their labels."""

    def vocabulary_facts(self) -> dict[str, Any]:
        """Say what the classes of predictions and their embeddings are, with the keys of :func:`embedding_facts`."""

    @classmethod
    def use_vocabulary(cls, cfg: ConfigDict, vocabulary: VocabularySource) -> None:
        """Let a model of this class predict over another vocabulary.

        Args:
            cfg: Its config, changed in place.
            vocabulary: Packaged vocabulary, file or list of names.

        Raises:
            ValueError: If the config names a file of class embeddings, of which no others can be made.
        """

    def set_vocabulary(self, vocabulary: VocabularySource) -> None:
        """Predict over another vocabulary from now on.

        Args:
            vocabulary: Packaged vocabulary, file or list of names.

        Raises:
            ValueError: If the model was built with a file of class embeddings, of which no others can be made.
        """


def embedding_options(options: Any, where: str) -> ConfigDict:
    """The config of class embeddings, with which those of another vocabulary can be built.

    Args:
        options: ``dict(vocabulary=..., model_name=..., checkpoint=...)``.
        where: Its key, for the error.

    Raises:
        ValueError: If it is a file of embeddings.
    """
    if not isinstance(options, dict) or "vocabulary" not in options:
        raise ValueError(
            f"{where} is a file of embeddings; to predict other classes give dict(vocabulary=..., model_name=..., "
            "checkpoint=...), with which embeddings can be built."
        )
    return options


def embedding_facts(embeddings: ClassEmbeddings) -> dict[str, Any]:
    """What class embeddings are, as :meth:`OpenVocabularyModel.vocabulary_facts` says it."""
    return dict(
        vocabulary=embeddings.name,
        num_classes=len(embeddings),
        templates=embeddings.templates,
        normalization=embeddings.normalization,
        synonyms=embeddings.synonyms,
        model=embeddings.model,
    )


def check_finite_scores(scores: Tensor, img_path: object, what: str = "scores") -> None:
    """Refuse scores, or features, of an image that are not finite.

    Args:
        scores: Of any shape.
        img_path: The image, for the error.
        what: What they are called there.

    Raises:
        ValueError: If one of them is not finite; names the image.
    """
    # A sum needs no mask of the size of the scores, and is finite if they are: they lie in [0, 1] or not far from it.
    if not scores.sum(dtype=torch.float32).isfinite():
        raise ValueError(f"{img_path}: the model's {what} are not finite: are its weights? Has the training diverged?")


def class_names(sample: Mapping[str, Any], dataset_meta: Mapping[str, Any] | None) -> Sequence[str]:
    """Names of the labels of a segmentation: its own, or else the data set's.

    Args:
        sample: Data sample or dict.
        dataset_meta: Metainfo of the data set.

    Raises:
        ValueError: If there are none.
    """
    names = sample.get("vocabulary_classes", None) or (dataset_meta or {}).get("classes")
    if not names:
        raise ValueError(
            f"{sample.get('img_path', None)}: the prediction has no vocabulary_classes and the data set no classes: "
            "nobody knows what its labels are called; give dataset.metainfo=dict(classes=...)"
        )
    return names


def instance_names(instances: Any, dataset_meta: Mapping[str, Any] | None) -> tuple[list[str], list[bool | None]]:
    """Names of detections or annotated objects, and which are of novel classes; their own, or else the data set's.

    Args:
        instances: ``InstanceData`` or dict with ``labels`` (N,), perhaps ``label_names`` and ``is_novel``.
        dataset_meta: Metainfo of the data set, perhaps with ``classes`` and ``novel_classes``.

    Returns:
        N names, and N flags, None where unknown.

    Raises:
        ValueError: If there are no names.
    """
    meta = dataset_meta or {}
    labels = instances["labels"].tolist()
    names = instances.get("label_names", None)
    if names is None and labels and not meta.get("classes"):
        raise ValueError(
            "the detections have no label_names and the data set no classes: nobody knows what their labels are "
            "called; give dataset.metainfo=dict(classes=...)"
        )
    names = [meta["classes"][label] for label in labels] if names is None else list(names)
    if "is_novel" in instances:
        return names, instances["is_novel"].tolist()
    if (novel := meta.get("novel_classes")) is None:
        return names, [None] * len(names)
    held_out = set(map(normal_form, novel))
    return names, [normal_form(name) in held_out for name in names]
