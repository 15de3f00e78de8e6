"""A user's own class names in the place of the vocabulary that a model was trained on."""

from collections.abc import Sequence

from mmengine.config import Config, ConfigDict

from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.entries import check_list_of_names
from densevlm_mm.vocabulary.splits import load_split, untrained_classes


def use_vocabulary(cfg: Config, vocabulary: str | Sequence[str]) -> None:
    """Let an open-vocabulary detector or segmentor predict other classes.

    A detector's score ensemble takes the classes that it was trained on, by name in any spelling, as base and all
    others as novel, see :func:`~densevlm_mm.vocabulary.splits.untrained_classes`.

    Args:
        cfg: The experiment, changed in place.
        vocabulary: Name of a packaged vocabulary, path of a ``.txt`` (one name a line) or ``.json``, or names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the vocabulary is empty or unknown, the config's model knows no class embeddings, or nobody can
            tell whether a detector was trained on a name.
    """
    wanted = Vocabulary.load(vocabulary)
    head = cfg.model.get("roi_head", {}).get("bbox_head", {})
    if "class_embeddings" in head:
        options = _buildable(head.class_embeddings, "model.roi_head.bbox_head.class_embeddings")
        novel = head.get("novel_classes", ())
        if isinstance(novel, str):
            novel = load_split(novel)["novel_classes"]
        head.novel_classes = untrained_classes(wanted, Vocabulary.load(options.vocabulary), novel)
        head.num_classes = len(wanted)
        options.vocabulary = vocabulary
    elif "class_embeddings" in cfg.model:
        options = _buildable(cfg.model.class_embeddings, "model.class_embeddings")
        chosen = cfg.model.get("test_class_embeddings") or {}
        cfg.model.test_class_embeddings = ConfigDict({**options, **chosen, "vocabulary": vocabulary})
        cfg.model.test_class_embeddings.pop("file", None)
    else:
        raise ValueError(
            f"{cfg.filename}: {cfg.model.type} has no class_embeddings, its classes are fixed; --vocabulary is for the "
            "configs in configs/fvit, configs/san and configs/cat_seg."
        )


def names_of_arguments(names: Sequence[str]) -> list[str]:
    """Class names from a command line, one an argument, to be given to `use_vocabulary`.

    Raises:
        ValueError: If one argument holds several names.
    """
    check_list_of_names("--names", names, "give one name an argument, such as --names boat 'fishing boat'")
    return list(names)


def _buildable(options: object, where: str) -> ConfigDict:
    if not isinstance(options, dict) or "vocabulary" not in options:
        raise ValueError(
            f"{where} is a file of embeddings; to predict other classes give dict(vocabulary=..., model_name=..., "
            "checkpoint=...), with which embeddings can be built."
        )
    return options
