"""The classifier that stands for SAN's text tower."""

import pytest
import torch

from densevlm_mm.models.segmentors.san_text_classifier import SANTextClassifier
from densevlm_mm.models.text import LazyClassEmbeddings


@pytest.fixture
def lazily(make_class_embeddings):
    return lambda *arguments, **options: LazyClassEmbeddings(make_class_embeddings(*arguments, **options))


def test_rows_are_scaled_unit_embeddings_and_a_background(make_class_embeddings) -> None:
    embeddings = make_class_embeddings()
    classifier = SANTextClassifier(LazyClassEmbeddings(embeddings), logit_scale=50.0)
    weights = classifier()
    for row, embedding in zip(weights, embeddings.embeddings, strict=False):
        torch.testing.assert_close(row, 50 * embedding / embedding.norm())
    background = classifier.bg_embed[0]
    torch.testing.assert_close(weights[-1], 50 * background / background.norm())


def test_only_the_background_trains_and_is_saved(lazily) -> None:
    classifier = SANTextClassifier(lazily(), lazily(("a", "b")))
    assert list(classifier.state_dict()) == ["bg_embed"]
    classifier().sum().backward()
    assert classifier.bg_embed.grad.abs().sum() > 0
    assert classifier(test=True).shape == (3, 16)


def test_one_class_is_refused(lazily) -> None:
    with pytest.raises(ValueError, match="has one class"):
        SANTextClassifier(lazily(), lazily(("cat",)))


def test_embeddings_of_two_spaces_are_refused(lazily) -> None:
    with pytest.raises(ValueError, match="dimension 16, test embeddings 8"):
        SANTextClassifier(lazily(), lazily(dim=8))
