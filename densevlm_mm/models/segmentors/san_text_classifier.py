"""The text side of SAN: class embeddings of a vocabulary and a learned background embedding."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from densevlm_mm.models.text import LazyClassEmbeddings

# K classes of the training vocabulary, T of the test vocabulary, D channels.


@MODELS.register_module()
class SANTextClassifier(BaseModule):
    """Class embeddings from a cache in the place of a text tower (SAN, arXiv 2302.12242, Sec. 3.3).

    The embeddings are constants; only the embedding of the background ("no object") is learned. They are no part of
    the state dict, so that a trained model predicts over another vocabulary by a change of its config alone.

    Args:
        class_embeddings: Of the training vocabulary.
        test_class_embeddings: Of the vocabulary that predictions are over; default: the training one.
        logit_scale: Inverse temperature of the cosines; 100 in all published CLIPs, at which their training clips it.
        init_cfg: Unused, for mmengine.

    Raises:
        ValueError: If a vocabulary has fewer than two classes, or the two are of different dimensions.
    """

    def __init__(
        self,
        class_embeddings: LazyClassEmbeddings,
        test_class_embeddings: LazyClassEmbeddings | None = None,
        logit_scale: float = 100.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self._training_classes = class_embeddings
        self._test_classes = class_embeddings if test_class_embeddings is None else test_class_embeddings
        for classes in (self._training_classes, self._test_classes):
            check_number_of_classes(classes)
        dimensions = self._training_classes.embed_dim, self._test_classes.embed_dim
        if dimensions[0] != dimensions[1]:
            raise ValueError(
                f"training embeddings have dimension {dimensions[0]}, test embeddings {dimensions[1]}: build both with "
                "the text tower of the image encoder"
            )
        self.logit_scale = logit_scale
        self.bg_embed = nn.Parameter(torch.empty(1, dimensions[0]))
        self.init_weights()

    def set_test_classes(self, test_class_embeddings: LazyClassEmbeddings) -> None:
        """Predict over other classes from now on.

        Raises:
            ValueError: If there are fewer than two.
        """
        check_number_of_classes(test_class_embeddings)
        self._test_classes = test_class_embeddings

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return self._training_classes.classes

    @property
    def test_classes(self) -> tuple[str, ...]:
        """Names of the T classes."""
        return self._test_classes.classes

    def prepare_classes(self, training: bool) -> None:
        """Get the embeddings of the training or of the test vocabulary; see :class:`PrepareClassesHook`.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If the embeddings are not the image encoder's.
        """
        self._text(test=not training)

    def init_weights(self) -> None:
        """Draw the background embedding, of about unit norm."""
        nn.init.normal_(self.bg_embed, std=self.bg_embed.shape[1] ** -0.5)

    def forward(self, test: bool = False) -> Tensor:
        """Return the weights of a linear classifier.

        Args:
            test: Of the test vocabulary.

        Returns:
            (K + 1, D) or (T + 1, D) float32 of norm ``logit_scale``; the last row is the background.
        """
        return self.logit_scale * torch.cat([self._text(test), F.normalize(self.bg_embed, dim=-1)])

    def _text(self, test: bool) -> Tensor:
        return (self._test_classes if test else self._training_classes).unit_text(self.bg_embed.device)


def check_number_of_classes(classes: LazyClassEmbeddings) -> None:
    """Refuse a vocabulary of one class.

    Raises:
        ValueError: If it is one.
    """
    if len(classes) < 2:
        raise ValueError(
            f"vocabulary {classes.name!r} has one class: a segmentation chooses among at least two; add the classes "
            "that surround it"
        )
