"""What classes are called: vocabularies, thing flags, base/novel splits, prompt templates.

Imports nothing else of this package.
"""

from densevlm_mm.vocabulary.names import normal_form, split_synonyms
from densevlm_mm.vocabulary.splits import check_split, load_split, split_metainfo
from densevlm_mm.vocabulary.templates import TEMPLATE_SETS, TemplateSet, get_template_set, prompts_for
from densevlm_mm.vocabulary.vocabulary import Vocabulary, packaged_vocabularies

__all__ = [
    "TEMPLATE_SETS",
    "TemplateSet",
    "Vocabulary",
    "check_split",
    "get_template_set",
    "load_split",
    "normal_form",
    "packaged_vocabularies",
    "prompts_for",
    "split_metainfo",
    "split_synonyms",
]
