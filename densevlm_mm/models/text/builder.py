"""From a vocabulary to class embeddings: `class_prompts`, `build_class_embeddings`."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from densevlm_mm.models.clip import ModelName, build_tokenizer, resolve_architecture
from densevlm_mm.models.text.class_embeddings import ClassEmbeddings, check_normalization
from densevlm_mm.models.text.prompt_collisions import check_tokens_differ
from densevlm_mm.models.text.prompt_encoder import encode_prompts, text_tower_fingerprint
from densevlm_mm.models.text.text_tower import TextTower
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.templates import get_template_set
from densevlm_mm.vocabulary.vocabulary import VocabularySource


def class_prompts(
    vocabulary: Vocabulary, templates: str | Sequence[str] = "vild", synonyms: str = "all"
) -> list[list[str]]:
    """The distinct prompts of every class: all its names (see `Vocabulary.prompt_names`) in all templates."""
    template_set = get_template_set(templates)
    return [
        list(dict.fromkeys(prompt for name in names for prompt in template_set.prompts(name)))
        for names in vocabulary.prompt_names(synonyms)
    ]


def average_prompts(features_ND: Tensor, prompts: Sequence[Sequence[str]], normalization: str = "class") -> Tensor:
    """Average the unit vectors of each class's prompts.

    Args:
        features_ND: Unit prompt vectors, in the order of ``prompts`` flattened.
        prompts: K lists of prompts, N in all.
        normalization: ``'class'`` or ``'prompt'``, see `ClassEmbeddings`.

    Returns:
        (K, D) float32.

    Raises:
        ValueError: If the normalization is unknown.
    """
    check_normalization(normalization)
    groups = features_ND.double().split([len(names) for names in prompts])
    means_KD = torch.stack([group.mean(dim=0) for group in groups])
    return (normalize(means_KD, dim=-1) if normalization == "class" else means_KD).float()


def build_class_embeddings(
    vocabulary: VocabularySource,
    model_name: ModelName | None,
    checkpoint: str | Path | None = None,
    templates: str | Sequence[str] = "vild",
    normalization: str = "class",
    device: str | torch.device | None = None,
    batch_size: int = 256,
    clip_model: nn.Module | None = None,
    *,
    synonyms: str = "all",
    autocast_dtype: str | None = None,
    trust: bool = False,
) -> ClassEmbeddings:
    """Encode a vocabulary with the text tower of a CLIP model, and show how far it is.

    Args:
        vocabulary: As `Vocabulary.load` takes it.
        model_name: The architecture, as `densevlm_mm.models.clip.build_clip` takes it.
        checkpoint: Weights with a text tower, likewise.
        templates: Name of a template set, or templates of one's own.
        normalization: ``'class'`` or ``'prompt'``, see `ClassEmbeddings`.
        device: Where to compute; None = the GPU if there is one (with ``clip_model``: where it is).
        batch_size: Prompts per forward pass; has no influence on the result.
        clip_model: The model, if it is there already; else it is built from ``model_name`` and ``checkpoint``.
        synonyms: Which names of a class are used, see `Vocabulary.prompt_names`.
        autocast_dtype: E.g. ``'bfloat16'``; None = float32.
        trust: Allow pickled checkpoints of any content, see ``build_clip``.

    Returns:
        The embeddings, on the CPU.

    Raises:
        ValueError: If an option is unknown, or model, tokenizer and checkpoint do not fit each other.
        FileNotFoundError: If the vocabulary or the checkpoint does not exist.

    Example:
        >>> embeddings = build_class_embeddings("set_316", "EVA02-B-16", "EVA02_CLIP_B_psz16_s8B.pt")
        >>> embeddings.save("data/class_embeddings/set_316.safetensors")
    """
    vocabulary = Vocabulary.load(vocabulary)
    # Everything that can be wrong about the request, before the long part.
    check_normalization(normalization)
    prompts = class_prompts(vocabulary, templates, synonyms)
    dtype = None if autocast_dtype is None else getattr(torch, autocast_dtype, None)
    if autocast_dtype is not None and dtype not in (torch.bfloat16, torch.float16):
        raise ValueError(f"autocast_dtype={autocast_dtype!r} must be 'bfloat16', 'float16' or None")
    if clip_model is None:
        tower = TextTower(model_name, checkpoint, trust=trust)
        clip_model, model_name = tower.model, tower.name
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    elif model_name is None:
        raise ValueError("a clip_model needs its model_name, which says what tokenizer it has")
    tokenizer = build_tokenizer(model_name)
    check_tokens_differ(prompts, tokenizer)
    features_ND = encode_prompts(
        clip_model,
        tokenizer,
        [prompt for names in prompts for prompt in names],
        batch_size,
        device,
        dtype,
        show=f"prompts of {vocabulary.name!r}",
    )
    return ClassEmbeddings(
        name=vocabulary.name,
        classes=vocabulary.classes,
        is_thing=vocabulary.is_thing,
        embeddings=average_prompts(features_ND, prompts, normalization),
        model=resolve_architecture(model_name).model_id,
        templates=get_template_set(templates).name,
        normalization=normalization,
        fingerprint=text_tower_fingerprint(clip_model),
        synonyms=synonyms,
        precision=autocast_dtype or "float32",
    )
