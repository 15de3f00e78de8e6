"""Serving the page on this machine: `serve`."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from densevlm_mm.analysis.models import default_name
from densevlm_mm.inference import OpenVocabularyInferencer
from densevlm_mm.tiny_scenes.clip import ASSETS_DIR

HOST = "127.0.0.1"
TINY_SCENES = tuple(str(ASSETS_DIR / f"tiny_scenes_{who}.safetensors") for who in ("student", "teacher"))


@contextmanager
def serve(encoders: Sequence[str] = TINY_SCENES, port: int | None = None, device: str | None = None) -> Iterator[str]:
    """Serve the page on 127.0.0.1 until the context ends.

    Nothing is fetched from the net, but an encoder that is named by an address, and nothing sent there. What visitors
    upload, and what is computed from it, lies in a temporary folder, which is removed in the end; no other file can be
    fetched from the page.

    Args:
        encoders: Weights of one or two encoders, by any of their names.
        port: Where to listen; None: the first free one from 7860 on.
        device: Where to compute; None: the GPU if there is one.

    Yields:
        The address of the page.

    Raises:
        FileNotFoundError: If an encoder's file does not exist.
        ImportError: If gradio is not installed.
        OSError: If the port is in use.
        ValueError: If there are not one or two encoders, or a file is none.
    """
    if not 1 <= len(encoders) <= 2:
        raise ValueError(f"give one or two encoders, not {len(encoders)}")
    # These are read when gradio is imported, or its components are built.
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
    if find_spec("gradio") is None:
        raise ImportError('the page needs gradio: pip install "densevlm_mm[web]"')
    from fastapi.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from densevlm_mm.compat.gradio_downloads import refuse_downloads
    from densevlm_mm.web.comparison import EncoderComparison
    from densevlm_mm.web.page import CSS, THEME, build_page
    from densevlm_mm.web.photos import MAX_BYTES, PhotoReader

    letters = ("A: ", "B: ") if len(encoders) == 2 else ("",)
    named = {
        letter + default_name(encoder): OpenVocabularyInferencer(encoder, vocabulary=["sky", "sea"], device=device)
        for letter, encoder in zip(letters, encoders, strict=True)
    }
    refuse_downloads()
    with TemporaryDirectory(prefix="densevlm_web_") as folder, _gradio_folder(Path(folder, "gradio")) as uploads:
        results, examples = uploads / "results", Path(folder, "examples")  # gradio deletes old files from its folder
        results.mkdir()
        examples.mkdir()
        page = build_page(EncoderComparison(named), PhotoReader(examples), results)
        try:
            _, address, _ = page.queue(max_size=32, default_concurrency_limit=1).launch(
                server_name=HOST,
                server_port=port,
                share=False,
                inbrowser=False,
                prevent_thread_lock=True,
                quiet=True,
                show_error=True,
                allowed_paths=[str(uploads)],  # an empty list would let an environment variable add others
                max_file_size=MAX_BYTES,
                run_history=False,
                enable_monitoring=False,
                mcp_server=False,
                ssr_mode=False,
                pwa=False,
                footer_links=[],
                theme=THEME,
                css=CSS,
                app_kwargs=dict(
                    middleware=[
                        # A page elsewhere whose name suddenly means this machine is not answered.
                        Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
                        Middleware(NoRemoteFiles),
                    ]
                ),
            )
            yield address
        finally:
            page.close(verbose=False)


class NoRemoteFiles:
    """ASGI middleware: refuse what gradio would fetch from elsewhere (``/gradio_api/file=https://...``)."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 403, or pass the request on."""
        if scope["type"] == "http" and re.search(r"/(file|proxy)=?/?\s*https?:", scope["path"], re.IGNORECASE):
            await send(dict(type="http.response.start", status=403, headers=[(b"content-type", b"text/plain")]))
            await send(dict(type="http.response.body", body=b"this page fetches nothing from elsewhere"))
            return
        await self.app(scope, receive, send)


@contextmanager
def _gradio_folder(folder: Path) -> Iterator[Path]:
    """Let gradio keep its files in a folder, and serve files from nowhere else.

    Its cache of examples, unless told otherwise, is a folder below the working directory, and served as well.
    """
    folder.mkdir()
    names = ("GRADIO_TEMP_DIR", "GRADIO_EXAMPLES_CACHE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(folder)))
    try:
        yield folder
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
