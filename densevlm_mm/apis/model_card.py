"""The card of an exported encoder, and its way to huggingface.co."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from densevlm_mm.checkpoint_files import read_checkpoint
from densevlm_mm.files import write_text
from densevlm_mm.models.clip import CheckpointName
from densevlm_mm.models.clip.architecture import HUB_CONFIG
from densevlm_mm.models.clip.encoder_parts import companion_file, read_path

CARD = "README.md"
# Counts, and the steps of the offset control, are no results.
_NO_FIGURES = ("num_", "offset_control_")
_FRACTIONS = ("coherence_auc",)  # the others are in percent


def training_facts(checkpoint: str | Path) -> dict[str, str]:
    """What a training checkpoint says about how its encoder was trained; nothing in it is executed.

    Args:
        checkpoint: Checkpoint of ``tools/train.py``.

    Returns:
        Name to value, as far as they are known.
    """
    content = read_checkpoint(checkpoint, verify=False).content
    meta = content.get("meta") or {}
    cfg = read_config_text(meta.get("cfg") or "")
    model, hooks = cfg.get("model") or {}, cfg.get("default_hooks") or {}
    teacher_hook = hooks.get("teacher") or {}
    dataset = _innermost((cfg.get("train_dataloader") or {}).get("dataset") or {})
    classes = model.get("class_embeddings") or {}
    facts = {
        "initial weights": (content.get("encoder") or {}).get("checkpoint"),
        "dense path": _dense_path(content.get("encoder") or {}),
        "loss": _type(model.get("loss")),
        "teacher": " of ".join(filter(None, (_type(teacher_hook), _weights(teacher_hook.get("teacher"))))),
        "categories": classes.get("vocabulary") or _name(classes.get("file")),
        "training data": "/".join(
            filter(None, (_name(dataset.get("data_root")), _name(dataset.get("source") or dataset.get("ann_file"))))
        ),
        "iterations": meta.get("iter"),
        "seed": meta.get("seed"),
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def read_config_text(text: str) -> dict[str, Any]:
    """Read the literal parts of a config's source: ``dict(...)`` calls, lists and constants. Other values are None.

    Args:
        text: What mmengine stores in checkpoints as ``meta['cfg']``.

    Returns:
        Its top-level names; {} if it is no source.
    """
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return {}
    return {
        target.id: _literal(node.value)
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {keyword.arg: _literal(keyword.value) for keyword in node.keywords if keyword.arg}
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return None


def _dense_path(encoder: Mapping[str, Any]) -> str:
    """The dense path, unless it is the usual one."""
    path = read_path(encoder)
    return _words(path) if isinstance(path, Mapping) else ""


def _innermost(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    while isinstance(dataset.get("dataset"), Mapping):
        dataset = dataset["dataset"]
    return dataset


def _type(options: Any) -> str:
    return str((options or {}).get("type", "")).rpartition(".")[2]


def _weights(options: Any) -> str:
    checkpoint = (options or {}).get("checkpoint")
    return CheckpointName.parse(checkpoint).portable() if checkpoint else ""


def _name(path: str | None) -> str:
    """A path without folders of this machine."""
    return "" if not path else Path(path).name if Path(path).is_absolute() else path.rstrip("/")


def model_card(
    title: str, facts: Mapping[str, str], results: Mapping[str, Any] | None = None, licence: str = "other"
) -> str:
    """Write the text of a card, with the header that huggingface.co reads.

    Args:
        title: What the weights are called; ``<owner>/<repository>`` if they are on the hub.
        facts: What is known of them, see :func:`training_facts`.
        results: Content of a file of ``tools/test.py --out FILE.json``.
        licence: Identifier of the hub.
    """
    lines = [
        "---",
        f"license: {licence}",
        "library_name: open_clip",
        "pipeline_tag: zero-shot-image-classification",
        "tags: [clip, open-vocabulary, dense-prediction, densevlm]",
        "---",
        "",
        f"# {title}",
        "",
        "A CLIP whose image tower was trained for dense prediction with densevlm_mm, an implementation of DenseVLM (Li",
        "et al., *Unbiased Region-Language Alignment for Open-Vocabulary Dense Prediction*, ICCV 2025,",
        "[arXiv 2412.06244](https://arxiv.org/abs/2412.06244)).",
        "",
        *_table(("", ""), facts),
        "",
        "```python",
        "import open_clip",
        "from densevlm_mm.models.encoders import DenseImageEncoder",
        "",
        f'encoder = DenseImageEncoder(checkpoint="hf-hub:{title}")  # encoder.dense(encoder.normalize(images))',
        f'model, _, preprocess = open_clip.create_model_and_transforms("hf-hub:{title}")',
        "```",
    ]
    if results:
        evaluation = {key: value for key, value in results.get("evaluation", {}).items() if key != "checkpoint"}
        evaluation["data"] = _name(evaluation.get("data"))
        figures = {
            name: f"{100 * value if name in _FRACTIONS else value:.1f}"
            for name, value in results["metrics"].items()
            if isinstance(value, int | float) and not name.startswith(_NO_FIGURES)
        }
        of_what = {key: _words(value) for key, value in evaluation.items() if value}
        lines += ["", "## Figures", "", *_table(("metric", "%"), figures), "", *_table(("evaluated", ""), of_what)]
    return "\n".join(lines) + "\n"


def _table(head: tuple[str, str], rows: Mapping[str, str]) -> list[str]:
    return [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


def _words(value: Any) -> str:
    return ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, Mapping) else str(value)


def read_results(path: str | Path) -> dict[str, Any]:
    """Read figures that ``tools/test.py --out FILE.json`` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no metrics.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file of results {path}; tools/test.py --out FILE.json writes one")
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); tools/test.py --out FILE.json writes one") from error
    if not isinstance(results, dict) or not isinstance(results.get("metrics"), dict):
        raise ValueError(f"{path} has no 'metrics'; tools/test.py --out FILE.json writes them")
    return results


def write_card(folder: str | Path, text: str) -> bool:
    """Write the card of a folder in hub layout; one that is there is a person's, and stays.

    Returns:
        Whether it was written.
    """
    path = Path(folder) / CARD
    if path.exists():
        return False
    write_text(path, text)
    return True


def push_to_hub(weights: str | Path, repository: str, private: bool = False) -> str:
    """Upload a folder in hub layout: weights, ``open_clip_config.json`` and card.

    Args:
        weights: The file of weights in the folder; a second one that belongs to it is uploaded too.
        repository: ``<owner>/<repository>`` on huggingface.co; made if it does not exist.
        private: Make it for its owner alone.

    Returns:
        Its address.

    Raises:
        OSError: If the hub cannot be reached or refuses, e.g. because nobody is logged in.
    """
    weights = Path(weights)
    files = [file.name for file in (weights, companion_file(weights)) if file == weights or file.is_file()]
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=weights.parent,
            allow_patterns=[*files, HUB_CONFIG, CARD],
            commit_message="Weights exported by densevlm_mm",
        )
    except Exception as error:  # which HTTP client it is, and so what it raises, changes with the hub's version
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OSError(f"{repository} could not be uploaded: {reason} (log in with `hf auth login`)") from error
    return f"https://huggingface.co/{repository}"
