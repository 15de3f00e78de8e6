"""Text side: prompts through a CLIP text tower, class embeddings and their cache."""

from densevlm_mm.models.text.builder import (
    build_class_embeddings,
    class_prompts,
    embeddings_command,
    resolve_class_embeddings,
)
from densevlm_mm.models.text.class_embeddings import ClassEmbeddings
from densevlm_mm.models.text.clip_text_encoder import ClipTextEncoder
from densevlm_mm.models.text.prompt_encoder import encode_prompts, text_tower_fingerprint

__all__ = [
    "ClassEmbeddings",
    "ClipTextEncoder",
    "build_class_embeddings",
    "class_prompts",
    "embeddings_command",
    "encode_prompts",
    "resolve_class_embeddings",
    "text_tower_fingerprint",
]
