"""Docstrings of this project as griffe reads them: ``Example:`` is its section of examples, not a box of text."""

import re
from typing import Any

from griffe import Extension, Object


class ExampleSections(Extension):
    """Take ``Example:`` for griffe's ``Examples:``."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rename the section of an object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
