import sys
from types import ModuleType

import pytest

from densevlm_mm.vocabulary.category_sets import WordNetClassifier


class Synset:
    """A synset with its hypernyms, as nltk has it."""

    def __init__(self, name: str, *hypernyms: "Synset") -> None:
        self._name, self._hypernyms = name, hypernyms

    def name(self) -> str:
        return self._name

    def hypernyms(self) -> tuple:
        return self._hypernyms


@pytest.fixture
def wordnet(monkeypatch) -> dict[str, list[Synset]]:
    """nltk with a WordNet of a few words."""
    artifact = Synset("artifact.n.01", Synset("entity.n.01"))
    substance = Synset("substance.n.01", Synset("entity.n.01"))
    food = Synset("food.n.01", substance)
    idea = Synset("idea.n.01", Synset("entity.n.01"))
    senses = dict(
        dog=[Synset("dog.n.01", Synset("animal.n.01"))],
        traffic_island=[Synset("traffic_island.n.01", artifact)],
        pizza=[Synset("pizza.n.01", Synset("dish.n.02", food))],
        road=[Synset("road.n.01", artifact)],
        kite=[idea, Synset("kite.n.03", artifact)],
        freedom=[idea],
        crane=[idea, idea, idea, Synset("crane.n.04", artifact)],
    )
    corpus, corpora = ModuleType("nltk"), ModuleType("nltk.corpus")
    corpora.wordnet = ModuleType("wordnet")
    corpora.wordnet.synsets = lambda word, pos=None: senses.get(word, [])
    monkeypatch.setitem(sys.modules, "nltk", corpus)
    monkeypatch.setitem(sys.modules, "nltk.corpus", corpora)
    return senses


def test_the_nearest_telling_ancestor_of_the_first_senses_decides(wordnet) -> None:
    words = ["dog", "traffic island", "pizza", "road", "kite", "freedom", "crane", "qwerty"]
    assert WordNetClassifier().classify(words) == {
        "dog": "thing",
        "traffic island": "thing",
        "pizza": "thing",  # food comes before substance
        "road": "stuff",  # although it is an artifact
        "kite": "thing",
        "freedom": "neither",
        "crane": "neither",  # its fourth sense is too rare to count
    }


def test_without_nltk_or_its_data_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(ValueError, match=r"pip install nltk .* wordnet"):
        WordNetClassifier()
