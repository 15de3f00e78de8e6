"""Building class embeddings, and finding them again: `build_class_embeddings`, `resolve_class_embeddings`."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.functional import normalize

from densevlm_mm.models.clip.tokenizer import build_tokenizer, model_config, model_id, resolve_bpe_path
from densevlm_mm.models.text.checkpoint_digest import checkpoint_digest
from densevlm_mm.models.text.class_embeddings import FILE_FORMAT, NORMALIZATIONS, ClassEmbeddings, build_command
from densevlm_mm.models.text.prompt_collisions import check_tokens_differ
from densevlm_mm.models.text.prompt_encoder import encode_prompts, text_tower_fingerprint
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.templates import get_template_set

_PROMPT_OPTIONS: dict[str, Any] = {"templates": "vild", "normalization": "class", "synonyms": "all"}
_KNOWN_OPTIONS = {"file", "vocabulary", "num_things", "extra_classes", "model_name", "checkpoint", *_PROMPT_OPTIONS}


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
    """Averages the unit vectors of each class's prompts.

    Args:
        features_ND: Unit prompt vectors, in the order of ``prompts`` flattened.
        prompts: K lists of prompts, N in all.
        normalization: ``'class'`` or ``'prompt'``, see `ClassEmbeddings`.

    Returns:
        (K, D) float32.

    Raises:
        ValueError: If the normalization is unknown.
    """
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"unknown normalization {normalization!r}; choose from {NORMALIZATIONS}")
    groups = features_ND.double().split([len(names) for names in prompts])
    means_KD = torch.stack([group.mean(dim=0) for group in groups])
    return (normalize(means_KD, dim=-1) if normalization == "class" else means_KD).float()


def build_class_embeddings(
    vocabulary: Vocabulary | str | Path,
    model_name: str | dict,
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
    """Encodes a vocabulary with the text tower of a CLIP model.

    Args:
        vocabulary: Packaged name, file, or the thing itself.
        model_name: open_clip model name or config dict.
        checkpoint: Weights with a text tower, as `densevlm_mm.models.clip.loading.build_clip` takes them.
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
    if not isinstance(vocabulary, Vocabulary):
        vocabulary = Vocabulary.load(vocabulary)
    # Everything that can be wrong about the request, before the long part.
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"unknown normalization {normalization!r}; choose from {NORMALIZATIONS}")
    prompts = class_prompts(vocabulary, templates, synonyms)
    dtype = None if autocast_dtype is None else getattr(torch, autocast_dtype, None)
    if autocast_dtype is not None and dtype not in (torch.bfloat16, torch.float16):
        raise ValueError(f"autocast_dtype={autocast_dtype!r} must be 'bfloat16', 'float16' or None")
    if clip_model is None:
        clip_model = _load_text_tower(model_name, checkpoint, trust)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = build_tokenizer(model_name)
    check_tokens_differ(prompts, tokenizer)
    features_ND = encode_prompts(
        clip_model,
        tokenizer,
        [prompt for names in prompts for prompt in names],
        batch_size,
        device,
        dtype,
    )
    return ClassEmbeddings(
        name=vocabulary.name,
        classes=vocabulary.classes,
        is_thing=vocabulary.is_thing,
        embeddings=average_prompts(features_ND, prompts, normalization),
        model=model_id(model_name),
        templates=get_template_set(templates).name,
        normalization=normalization,
        fingerprint=text_tower_fingerprint(clip_model),
        synonyms=synonyms,
        precision=autocast_dtype or "float32",
    )


def resolve_class_embeddings(
    cfg: dict | str | Path | ClassEmbeddings,
    *,
    model_name: str | dict | None = None,
    checkpoint: str | Path | None = None,
    cache_dir: str | Path = "data/class_embeddings",
    trust: bool = False,
) -> ClassEmbeddings:
    """Class embeddings from what a config says.

    Args:
        cfg: One of

            * a path, or ``dict(file=..., num_things=...)``: that file. Further keys (``vocabulary`` ...) describe what
              it must hold and are checked;
            * ``dict(vocabulary=..., templates='vild', normalization='class', synonyms='all', num_things=None,
              extra_classes=(), model_name=None, checkpoint=None)``: built with the model (the config's own or the
              arguments') and kept in ``cache_dir``, where the next run finds them without loading the model;
            * ready embeddings, returned as they are.
        model_name: The image encoder's open_clip name or config.
        checkpoint: Its weights (with a text tower).
        cache_dir: Folder of built embeddings.
        trust: Allow pickled checkpoints of any content, see ``build_clip``.

    Raises:
        FileNotFoundError: If the file is not there; the message holds the command that makes it.
        ValueError: If an option is unknown or missing, or a file holds something else than described.
    """
    if isinstance(cfg, ClassEmbeddings):
        return cfg
    options: dict[str, Any] = dict(cfg) if isinstance(cfg, Mapping) else {"file": cfg}
    if unknown := sorted(set(options) - _KNOWN_OPTIONS):
        raise ValueError(f"unknown class-embedding option(s) {unknown}; known: {sorted(_KNOWN_OPTIONS)}")
    if not {"file", "vocabulary"} & options.keys():
        raise ValueError(f"class embeddings need 'file' or 'vocabulary'; got {options}")
    model_name = options.pop("model_name", None) or model_name
    checkpoint = options.pop("checkpoint", None) or checkpoint
    if "file" in options:
        return _from_file(options, model_name, checkpoint)
    if model_name is None:
        raise ValueError(f"building embeddings of {options['vocabulary']!r} needs a model_name and a checkpoint")
    # Of several processes the first builds what is missing, the others then find it.
    if not is_main_process():
        barrier()
    embeddings = _from_cache(options, model_name, checkpoint, Path(cache_dir), trust)
    if is_main_process():
        barrier()
    return embeddings


def embeddings_command(options: Mapping[str, Any]) -> str:
    """The command that makes the file of a config ``dict(file=..., vocabulary=..., model_name=..., ...)``."""
    return build_command(
        str(options.get("vocabulary", "VOCABULARY")),
        options.get("model_name"),
        options.get("checkpoint"),
        _command_options(dict(options)),
        Path(options["file"]),
    )


def _from_file(
    options: dict[str, Any], model_name: str | dict | None, checkpoint: str | Path | None
) -> ClassEmbeddings:
    path = Path(options["file"])
    if not path.is_file():
        command = embeddings_command({**options, "model_name": model_name, "checkpoint": checkpoint})
        raise FileNotFoundError(f"class embeddings {str(path)!r} do not exist; make them with {command}")
    embeddings = ClassEmbeddings.load(path)
    embeddings.check_encoder(model_name=model_name)
    expected = {key: options[key] for key in _PROMPT_OPTIONS if key in options}
    if "templates" in expected:
        expected["templates"] = get_template_set(expected["templates"]).name
    if "vocabulary" in options:
        expected["classes"] = _vocabulary({key: value for key, value in options.items() if key != "num_things"}).classes
    for key, value in expected.items():
        if getattr(embeddings, key) != value:
            raise ValueError(
                f"class embeddings {str(path)!r} were built with other {key} ({_short(getattr(embeddings, key))}) than "
                f"the config says ({_short(value)}); build them anew or change the config"
            )
    num_things = options.get("num_things")
    return embeddings if num_things is None else embeddings.with_num_things(num_things)


def _from_cache(
    options: dict[str, Any], model_name: str | dict, checkpoint: str | Path | None, cache_dir: Path, trust: bool
) -> ClassEmbeddings:
    vocabulary = _vocabulary(options)
    prompt_options = {key: options.get(key, default) for key, default in _PROMPT_OPTIONS.items()}
    clip_model = None
    file = _checkpoint_file(model_name, checkpoint)
    if file is not None:
        weights = checkpoint_digest(file, cache_dir)
    else:  # random weights: only the weights themselves can tell
        clip_model = _load_text_tower(model_name, checkpoint, trust)
        weights = text_tower_fingerprint(clip_model)
    path = cache_dir / _cache_name(vocabulary, model_name, weights, prompt_options)
    if path.is_file():
        try:
            # The key covers prompts and weights; names and thing flags are the vocabulary's own.
            found = ClassEmbeddings.load(path)
            return replace(found, name=vocabulary.name, classes=vocabulary.classes, is_thing=vocabulary.is_thing)
        except ValueError as error:
            print_log(f"building {path} anew: {error}", logger="current", level=logging.WARNING)
    print_log(f"building class embeddings of {vocabulary.name!r} for {path}", logger="current")
    embeddings = build_class_embeddings(
        vocabulary, model_name, checkpoint, clip_model=clip_model, trust=trust, **prompt_options
    )
    if file is not None and checkpoint_digest(file, cache_dir) != weights:
        raise ValueError(f"checkpoint {str(checkpoint)!r} changed while it was read; start again")
    if checkpoint != "random":  # nobody will meet those weights again
        embeddings.save(path)
    return embeddings


def _cache_name(vocabulary: Vocabulary, model_name: str | dict, weights: str, prompt_options: dict[str, Any]) -> str:
    import open_clip  # takes seconds to import

    has_scheme = isinstance(model_name, str) and ":" in model_name  # the config comes with the weights
    config = {} if has_scheme else model_config(model_name)
    bpe_path = resolve_bpe_path(config)
    key = {
        "format": FILE_FORMAT,
        "open_clip": open_clip.__version__,
        "model": model_name,
        "config": config,
        "tokenizer": None if bpe_path is None else hashlib.sha256(bpe_path.read_bytes()).hexdigest(),
        "weights": weights,
        "prompts": class_prompts(vocabulary, prompt_options["templates"], prompt_options["synonyms"]),
        "normalization": prompt_options["normalization"],
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    readable = f"{vocabulary.name}_{model_id(model_name)}".replace(":", "_").replace("/", "_")
    return f"{readable}_{digest[:20]}.safetensors"


def _vocabulary(options: dict[str, Any]) -> Vocabulary:
    vocabulary = options["vocabulary"]
    if not isinstance(vocabulary, Vocabulary):
        vocabulary = Vocabulary.load(vocabulary)
    if options.get("num_things") is not None:
        vocabulary = vocabulary.with_num_things(options["num_things"])
    return vocabulary.with_extra_classes(options.get("extra_classes") or ())


def _checkpoint_file(model_name: str | dict, checkpoint: str | Path | None) -> Path | None:
    """The local file behind a path, an open_clip tag or a hub id; None for random weights."""
    if checkpoint is None or str(checkpoint) == "random":
        return None
    from densevlm_mm.models.clip import locate_checkpoint  # imports open_clip and timm: seconds

    path = locate_checkpoint(model_name, str(checkpoint))
    return path if path.is_file() else None


def _load_text_tower(model_name: str | dict, checkpoint: str | Path | None, trust: bool) -> nn.Module:
    from densevlm_mm.models.clip.loading import build_clip  # imports open_clip and timm: seconds

    clip_model = build_clip(model_name, checkpoint, trust=trust)
    clip_model.visual = nn.Identity()  # frees the larger half
    return clip_model


def _command_options(options: dict[str, Any]) -> str:
    given = {key: options[key] for key in (*_PROMPT_OPTIONS, "num_things") if options.get(key) is not None}
    flags = [f" --{key.replace('_', '-')} {value}" for key, value in given.items() if isinstance(value, str | int)]
    flags += [f" --extra-class {name!r}" for name in options.get("extra_classes") or ()]
    return "".join(flags)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
