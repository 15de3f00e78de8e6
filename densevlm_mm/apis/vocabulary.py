"""A user's own class names in the place of the vocabulary that a model was trained on."""

from collections.abc import Sequence

from mmengine.config import Config
from mmengine.registry import MODELS

from densevlm_mm.apis.components import component_class
from densevlm_mm.models.open_vocabulary import OpenVocabularyModel
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.entries import check_list_of_names
from densevlm_mm.vocabulary.vocabulary import VocabularySource


def use_vocabulary(cfg: Config, vocabulary: VocabularySource) -> None:
    """Let an open-vocabulary detector or segmentor predict other classes.

    How a model does it is its own affair, see :class:`~densevlm_mm.models.open_vocabulary.OpenVocabularyModel`.

    Args:
        cfg: The experiment, changed in place.
        vocabulary: Name of a packaged vocabulary, path of a ``.txt`` (one name a line) or ``.json``, or names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the vocabulary is empty or unknown, the config's model is no :class:`OpenVocabularyModel`, or it
            cannot take other classes.
    """
    Vocabulary.load(vocabulary)  # what is wrong about it comes first
    kind = component_class(cfg, MODELS, cfg.model)
    if kind is None or not issubclass(kind, OpenVocabularyModel):
        raise ValueError(
            f"{cfg.filename}: {cfg.model.type} has no vocabulary, its classes are fixed; --vocabulary is for the "
            "configs in configs/fvit, configs/san and configs/cat_seg."
        )
    kind.use_vocabulary(cfg.model, vocabulary)


def names_of_arguments(names: Sequence[str]) -> list[str]:
    """Class names from a command line, one an argument, to be given to `use_vocabulary`.

    Raises:
        ValueError: If one argument holds several names.
    """
    check_list_of_names("--names", names, "give one name an argument, such as --names boat 'fishing boat'")
    return list(names)
