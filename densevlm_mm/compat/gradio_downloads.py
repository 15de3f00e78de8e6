"""gradio fetches web addresses that stand in a request where an uploaded file is meant."""

from typing import Any

# gradio.processing_utils, in all of gradio 6; https://github.com/gradio-app/gradio/issues/13593 is about where such
# addresses may lead, but there is no option against following them.


def refuse_downloads() -> None:
    """Let gradio, in this process, follow no address from a request: it serves files of this machine alone."""
    from gradio import processing_utils

    processing_utils.async_ssrf_protected_get = _refuse


async def _refuse(url: str) -> Any:
    raise ValueError(f"{url}: this page fetches nothing from the net; upload the file instead")
