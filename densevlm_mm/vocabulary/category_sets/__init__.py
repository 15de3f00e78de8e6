"""Category sets made from words that describe images: count, merge, tell things from stuff."""

from densevlm_mm.vocabulary.category_sets.chat import ChatClassifier
from densevlm_mm.vocabulary.category_sets.kinds import Kind, MappedKinds, split_kinds
from densevlm_mm.vocabulary.category_sets.word_counts import count_words, load_synonyms, read_image_words
from densevlm_mm.vocabulary.category_sets.word_forms import merge_plurals, normalize_word
from densevlm_mm.vocabulary.category_sets.wordnet import WordNetClassifier

__all__ = [
    "ChatClassifier",
    "Kind",
    "MappedKinds",
    "WordNetClassifier",
    "count_words",
    "load_synonyms",
    "merge_plurals",
    "normalize_word",
    "read_image_words",
    "split_kinds",
]
