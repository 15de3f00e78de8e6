"""Text side: prompts through a CLIP text tower, class embeddings and their cache."""

from densevlm_mm.models.text.builder import build_class_embeddings, class_prompts
from densevlm_mm.models.text.class_embeddings import ClassEmbeddings
from densevlm_mm.models.text.clip_text_encoder import ClipTextEncoder
from densevlm_mm.models.text.lazy import EmbeddingsConfig, LazyClassEmbeddings
from densevlm_mm.models.text.prompt_encoder import encode_prompts, text_tower_fingerprint
from densevlm_mm.models.text.request import complete_test_options, embeddings_command, resolve_class_embeddings

__all__ = [
    "ClassEmbeddings",
    "ClipTextEncoder",
    "EmbeddingsConfig",
    "LazyClassEmbeddings",
    "build_class_embeddings",
    "class_prompts",
    "complete_test_options",
    "embeddings_command",
    "encode_prompts",
    "resolve_class_embeddings",
    "text_tower_fingerprint",
]
