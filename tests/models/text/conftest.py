"""A tiny random CLIP in the two forms that open_clip has."""

from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIP, CustomTextCLIP


def tiny_config(width: int = 32) -> dict[str, Any]:
    return {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": width, "heads": 2, "layers": 2},
    }


@pytest.fixture
def clip_config() -> dict[str, Any]:
    return tiny_config()


@pytest.fixture
def tiny_clip(clip_config: dict[str, Any]) -> CLIP:
    torch.manual_seed(0)
    model = CLIP(**clip_config).eval()
    # Larger embeddings than at initialisation: random prompts must not all look alike.
    torch.nn.init.normal_(model.token_embedding.weight, std=1.0)
    torch.nn.init.normal_(model.positional_embedding, std=0.3)
    return model


@pytest.fixture
def tiny_custom_text_clip(clip_config: dict[str, Any]) -> CustomTextCLIP:
    torch.manual_seed(0)
    model = CustomTextCLIP(**clip_config).eval()
    torch.nn.init.normal_(model.text.token_embedding.weight, std=1.0)
    return model


@pytest.fixture(scope="session")
def tokenizer() -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer()
