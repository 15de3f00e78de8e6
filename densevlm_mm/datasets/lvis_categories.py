"""The categories of an LVIS file, looked up by name; their frequencies say which are novel."""

from collections.abc import Sequence

from densevlm_mm.vocabulary.class_matching import category_rows

# The official files misspell one name, which mmdet's class list corrects.
_MISSPELLED = {"speaker_(stero_equipment)": "speaker_(stereo_equipment)"}


def lvis_category_rows(
    names: Sequence[str], frequencies: Sequence[str | None], classes: Sequence[str], source: str
) -> list[int]:
    """Which category of the file each class is, whatever the order; the file may have other categories too.

    Args:
        names: Names of the file's categories.
        frequencies: Their ``frequency``: ``r`` (rare), ``c`` (common) or ``f`` (frequent).
        classes: C names of classes.
        source: The file, for the error.

    Returns:
        C positions in ``names``.

    Raises:
        ValueError: If the file has no category, or several, of a name, or one without frequency.
    """
    try:
        rows = category_rows([_MISSPELLED.get(name, name) for name in names], classes, source)
    except ValueError as error:
        raise ValueError(f"{error} For a file of classes of your own give metainfo=dict(classes=[...])") from error
    wrong = [names[row] for row in rows if frequencies[row] not in ("r", "c", "f")]
    if wrong:
        raise ValueError(
            f"{source}: {len(wrong)} categories have no frequency r, c or f, such as {wrong[:5]}; the rare ones (r) "
            "are the novel classes"
        )
    return rows
