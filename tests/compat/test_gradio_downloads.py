import asyncio

import pytest

from densevlm_mm.compat.gradio_downloads import refuse_downloads


def test_gradio_follows_no_address(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    processing_utils = pytest.importorskip("gradio.processing_utils")
    monkeypatch.setattr(processing_utils, "async_ssrf_protected_get", processing_utils.async_ssrf_protected_get)
    refuse_downloads()
    with pytest.raises(ValueError, match="fetches nothing"):
        asyncio.run(processing_utils.async_ssrf_protected_download("https://example.com/a.jpg", str(tmp_path)))
