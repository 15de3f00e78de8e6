"""Things and stuff by WordNet's hypernyms; needs nltk and its data, which this package does not install."""

from collections.abc import Sequence
from typing import Any

from densevlm_mm.vocabulary.category_sets.kinds import Kind

# The nearest of these ancestors decides; COCO's panoptic classes set the line (buildings, trees and walls are stuff,
# food and furniture are things).
STUFF_ROOTS = (
    "atmosphere.n.05", "body_of_water.n.01", "bridge.n.01", "building.n.01", "building_material.n.01", "ceiling.n.01",
    "curtain.n.01", "fabric.n.01", "fence.n.01", "floor.n.01", "floor_cover.n.01", "geographical_area.n.01",
    "geological_formation.n.01", "gramineous_plant.n.01", "horizontal_surface.n.01", "land.n.04", "location.n.01",
    "partition.n.01", "path.n.02", "precipitation.n.03", "railway.n.01", "road.n.01", "rock.n.01", "roof.n.01",
    "rug.n.01", "shrub.n.01", "soil.n.02", "stairway.n.01", "substance.n.01", "tree.n.01", "vegetation.n.01",
    "weather.n.01",
)  # fmt: skip
THING_ROOTS = (
    "animal.n.01", "artifact.n.01", "body_part.n.01", "food.n.01", "food.n.02", "living_thing.n.01", "person.n.01",
    "piece_of_cloth.n.01", "plant_part.n.01",
)  # fmt: skip
_MAX_SENSES = 3  # rarer ones are seldom what pictures show


class WordNetClassifier:
    """Kinds of nouns by the nearest telling ancestor of their most frequent sense that has one.

    A rule of thumb: of the names of COCO's 133 panoptic classes WordNet 3.1 knows 122, and the rule
    gives 103 of them COCO's kind. Kinds in a file of one's own go first.

    Raises:
        ValueError: If nltk or its WordNet data are not installed.
    """

    source = "WordNet"

    def __init__(self) -> None:
        try:
            from nltk.corpus import wordnet

            wordnet.synsets("dog")
        except (ImportError, LookupError) as error:
            raise ValueError(
                "WordNet is not there: pip install nltk && python -m nltk.downloader wordnet, or tell kinds by --kinds "
                "or --chat-url"
            ) from error
        self._wordnet: Any = wordnet

    def classify(self, words: Sequence[str]) -> dict[str, Kind]:
        """Return the kinds of those words that WordNet has as nouns below a telling ancestor."""
        kinds = {word: self._kind(word) for word in words}
        return {word: kind for word, kind in kinds.items() if kind is not None}

    def _kind(self, word: str) -> Kind | None:
        senses = self._wordnet.synsets(word.replace(" ", "_"), pos="n")
        kinds = (_nearest_root(sense) for sense in senses[:_MAX_SENSES])
        return next((kind for kind in kinds if kind is not None), "neither" if senses else None)


def _nearest_root(synset: Any) -> Kind | None:
    level, seen = [synset], set()
    while level:
        names = {ancestor.name() for ancestor in level}
        if names & set(STUFF_ROOTS):
            return "stuff"
        if names & set(THING_ROOTS):
            return "thing"
        seen |= names
        level = [parent for ancestor in level for parent in ancestor.hypernyms() if parent.name() not in seen]
    return None
