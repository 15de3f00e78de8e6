"""Text side: vocabularies, prompt templates, class embeddings."""

from densevlm_mm.models.text.builder import (
    build_class_embeddings,
    class_prompts,
    embeddings_command,
    resolve_class_embeddings,
)
from densevlm_mm.models.text.class_embeddings import ClassEmbeddings
from densevlm_mm.models.text.prompt_encoder import encode_prompts, text_tower_fingerprint
from densevlm_mm.models.text.templates import TEMPLATE_SETS, TemplateSet, get_template_set, prompts_for
from densevlm_mm.models.text.tokenizer import build_tokenizer
from densevlm_mm.models.text.vocabulary import Vocabulary, packaged_vocabularies

__all__ = [
    "TEMPLATE_SETS",
    "ClassEmbeddings",
    "TemplateSet",
    "Vocabulary",
    "build_class_embeddings",
    "build_tokenizer",
    "class_prompts",
    "embeddings_command",
    "encode_prompts",
    "get_template_set",
    "packaged_vocabularies",
    "prompts_for",
    "resolve_class_embeddings",
    "text_tower_fingerprint",
]
