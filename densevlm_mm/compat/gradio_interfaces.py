"""gradio writes a ``.pyi`` file beside the source of every subclass of its components when the class is made.

Editors then complete the methods that its metaclass adds. In an installed package that is a file nobody asked for, in a
checkout a change; there is no option against it. Seen in gradio 6.31: ``create_or_modify_pyi`` in
https://github.com/gradio-app/gradio/blob/main/gradio/component_meta.py.
"""


def write_no_interfaces() -> None:
    """Let gradio write no ``.pyi`` files in this process; to be called before a component is subclassed."""
    from gradio import component_meta

    component_meta.create_or_modify_pyi = _write_nothing  # type: ignore[assignment]


def _write_nothing(*_: object) -> None:
    pass
