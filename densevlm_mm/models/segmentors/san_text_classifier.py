"""The text side of SAN: class embeddings of a vocabulary and a learned background embedding."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from densevlm_mm.models.text import ClassEmbeddings

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
        class_embeddings: ClassEmbeddings,
        test_class_embeddings: ClassEmbeddings | None = None,
        logit_scale: float = 100.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        test = class_embeddings if test_class_embeddings is None else test_class_embeddings
        for embeddings in (class_embeddings, test):
            if len(embeddings) < 2:
                raise ValueError(
                    f"vocabulary {embeddings.name!r} has {len(embeddings)} class: a segmentation chooses among at "
                    "least two; add the classes that surround it"
                )
        if test.embed_dim != class_embeddings.embed_dim:
            raise ValueError(
                f"training embeddings have dimension {class_embeddings.embed_dim}, test embeddings {test.embed_dim}: "
                "build both with the text tower of the image encoder"
            )
        self.classes = class_embeddings.classes
        self.test_classes = test.classes
        self.logit_scale = logit_scale
        self.bg_embed = nn.Parameter(torch.empty(1, class_embeddings.embed_dim))
        self.register_buffer("text", F.normalize(class_embeddings.embeddings, dim=-1), persistent=False)
        self.register_buffer("test_text", F.normalize(test.embeddings, dim=-1), persistent=False)
        self.init_weights()

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
        text = self.test_text if test else self.text
        return self.logit_scale * torch.cat([text, F.normalize(self.bg_embed, dim=-1)])
