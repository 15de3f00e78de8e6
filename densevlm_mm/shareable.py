"""Texts for files that people give away: nothing in them of who made them, and no secret."""

import os
import re
from functools import lru_cache
from pathlib import Path

# Names of environment variables whose values are for nobody else.
_SECRET_NAME = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY)S?(_|$)", re.I)
_SHORTEST_SECRET = 8  # shorter values are words such as 'true'
_LOGIN = re.compile(r"(?<=://)[^/@\s'\"]+@")
_SECRET_PARAMETER = re.compile(
    r"(?<=[?&])([\w-]*(?:token|secret|key|sig|signature|password)=)[^&\s'\"]+", re.IGNORECASE
)


def shareable(text: str) -> str:
    """Return a text without the user's home directory (``~`` stands for it) and without secrets (``***``).

    Secrets are values of environment variables that are called so (``HF_TOKEN``, ``WANDB_API_KEY``, ...), and logins
    and tokens within URLs.

    Example:
        >>> shareable("/home/ada/weights/a.pt of https://ada:pw@host/a.pt?token=1")
        '~/weights/a.pt of https://host/a.pt?token=***'
    """
    if "://" in text:
        text = _SECRET_PARAMETER.sub(r"\1***", _LOGIN.sub("", text))
    home, secrets = _of_this_process()
    if secrets is not None:
        text = secrets.sub("***", text)
    return text if home is None else home.sub("~", text)


@lru_cache(maxsize=1)
def _of_this_process() -> tuple[re.Pattern | None, re.Pattern | None]:
    """Patterns of the home directory and of secrets, where there are any."""
    homes = {os.path.expanduser("~"), os.path.realpath(os.path.expanduser("~"))}
    homes = {home.rstrip("/\\") for home in homes if len(Path(home).parts) > 1}
    values = {value for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    values = {value for value in values if len(value) >= _SHORTEST_SECRET and not os.path.isabs(value)}
    return _any_of(homes, r"(?<![\w./-])(?:{})(?![\w.-])"), _any_of(values, "(?:{})")


def _any_of(texts: set[str], pattern: str) -> re.Pattern | None:
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    return re.compile(pattern.format("|".join(map(re.escape, longest_first)))) if texts else None
