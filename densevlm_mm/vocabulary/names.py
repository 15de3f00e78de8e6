"""Class names as text: when two spellings are one name, where synonyms part, what no name may hold.

Three forms, never mixed: the user's spelling is shown, `prompt_form` goes into prompts, `normal_form` is compared.
"""

import html
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_OPENING, _CLOSING = "([{（［｛⦅【「『〔〖〘〈《", ")]}）］｝⦆】」』〕〗〙〉》"
_COMMAS = ",，﹐､、،"
_LOOK_ALIKES = str.maketrans(
    dict.fromkeys(_OPENING, " (")
    | dict.fromkeys(_CLOSING, ") ")
    | dict.fromkeys(_COMMAS, ", ")
    | dict.fromkeys("‘’‚‛ʼ`", "'")
    | dict.fromkeys("“”„‟«»", '"')
)
# Invisible, but part of how emoji and Persian or Indic words are written, or of mixed left-to-right text.
_JOINERS = {"\u200c", "\u200d", "\u200e", "\u200f", "\u061c", *map(chr, range(0xE0020, 0xE0080))}
_INVISIBLE = set("\u00ad\u034f\u115f\u1160\u180e\u200b\u2060\u2061\u2062\u2063\u2064\u3164\ufeff\uffa0")
_REORDERING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_VARIATION_SELECTORS = {*map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0))}
_UNSEEN = _JOINERS | _INVISIBLE | _REORDERING | _VARIATION_SELECTORS


def prompt_form(name: str) -> str:
    """The name as prompts have it.

    ``_`` becomes a blank (LVIS), ``/`` becomes " or " (Objects365), letters lower case in Unicode's composed form (NFC;
    file systems and editors of macOS decompose), and runs of blanks, outer blanks and dots at the end go.

    Args:
        name: Any spelling.

    Returns:
        The form; empty if nothing is left.
    """
    text = unicodedata.normalize("NFC", name.replace("_", " ").replace("/", " or ").lower())
    return " ".join(text.split()).rstrip(". ")


@lru_cache(maxsize=1 << 16)
def normal_form(name: str) -> str:
    """The form in which names are compared: two spellings are one name if and only if theirs are equal.

    Beyond `prompt_form`, so that one prompt always is one name: Unicode's compatibility caseless form (full-width
    letters, ligatures, ``ß``), HTML's escapes (tokenizers undo them), dashes are blanks, all brackets round, commas and
    quotes plain, and what is invisible goes. Words in brackets stay: ``bow_(weapon)`` is not
    ``bow_(decorative_ribbons)``, nor is ``wall-brick`` a ``wall``. Plurals and accents tell names apart.

    Args:
        name: Any spelling.

    Returns:
        The form; empty if nothing is left.

    Example:
        >>> normal_form("Alarm_Clock") == normal_form(" alarm  clock.")
        True
    """
    plain = prompt_form(name)
    text = unicodedata.normalize("NFKC", html.unescape(html.unescape(plain))).casefold()
    text = unicodedata.normalize("NFKC", text)  # casefolding can decompose (Unicode Standard, D147)
    text = "".join(letter for letter in text if letter not in _UNSEEN).translate(_LOOK_ALIKES)
    text = "".join(" " if letter == "_" or unicodedata.category(letter) == "Pd" else letter for letter in text)
    text = " ".join(text.split()).replace("( ", "(").replace(" )", ")").replace(" ,", ",").strip(" .")
    return text or plain  # a name may be a dash


def without_brackets(form: str) -> str:
    """A normal form less its parts in brackets: ``'bow (weapon)'`` -> ``'bow'``; itself where nothing would be left."""
    depth, kept = 0, []
    for letter in form:
        depth += letter == "("
        if not depth:
            kept.append(letter)
        depth -= letter == ")" and depth > 0
    return " ".join("".join(kept).split()) or form


def split_synonyms(name: str) -> tuple[str, ...]:
    """Part a name at its commas: ``'building, edifice'`` -> ``('building', 'edifice')``, ADE20K's convention.

    Commas inside of brackets belong to the name: ``'bat (wood, baseball)'`` is one. Full-width, ideographic and Arabic
    commas and brackets are like the Latin ones.

    Args:
        name: Any spelling.

    Returns:
        The distinct synonyms without outer blanks; an empty one where the name has two commas in a row.

    Raises:
        ValueError: If a comma follows a bracket that is not closed, so that nobody can tell what it parts.
    """
    depth, parts, hidden_comma = 0, [""], False
    for letter in name:
        if letter in _COMMAS and not depth:
            parts.append("")
            continue
        hidden_comma |= letter in _COMMAS
        depth += (letter in _OPENING) - (letter in _CLOSING and depth > 0)
        parts[-1] += letter
    if depth and hidden_comma:
        raise ValueError(
            f"class name {name!r} has a bracket that is not closed, and a comma behind it: close the bracket, or give "
            'the synonyms as a list, {"name": ..., "synonyms": [...]} in a JSON vocabulary'
        )
    return tuple(dict.fromkeys(part.strip() for part in parts))


def check_name(name: str, where: str) -> None:
    """Refuse a name that a reader could not see as it is.

    Args:
        name: A class name or a synonym.
        where: What it is and whose, for the error.

    Raises:
        ValueError: If nothing of it would be left in a prompt, or it holds a line break, a control or an invisible
            character, half of a pair of surrogates, or the mark of a failed decoding.
    """
    if not prompt_form(name) or not normal_form(name):
        raise ValueError(f"{where} {name!r} is empty, or nothing of it is left in a prompt: rename or remove it")
    for position, letter in enumerate(name):
        if letter == "\ufffd":
            reason = "was read in a wrong encoding (it holds U+FFFD): save its file as UTF-8"
        elif letter in _INVISIBLE or letter in _REORDERING:
            reason = f"holds the invisible character U+{ord(letter):04X} ({unicodedata.name(letter)})"
        elif unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp"):
            reason = f"holds a line break, tab or control character, U+{ord(letter):04X}"
        else:
            continue
        raise ValueError(f"{where} {name!r} {reason} at position {position}: remove it")


def check_distinct(names: Iterable[str], where: str) -> None:
    """Refuse names that differ in spelling only.

    Args:
        names: Class names.
        where: Whose, for the error.

    Raises:
        ValueError: If two of them have one normal form.
    """
    seen: dict[str, str] = {}
    for name in names:
        form = normal_form(name)
        if form in seen:
            raise ValueError(f"{where}: {seen[form]!r} and {name!r} are one name, {form!r}: remove or rename one")
        seen[form] = name
