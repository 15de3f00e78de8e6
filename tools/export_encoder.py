r"""Write the encoder of a training checkpoint for others: weights in open_clip's layout that say what they are.

The weights are the ensemble alpha * trained + (1 - alpha) * initial that tools/test.py evaluates, with the checkpoint's
alpha. The text tower comes from the CLIP weights that training started from, so that plain open_clip loads the result
too. OUT is a .safetensors file, or a folder in the layout of hub repositories, which tells plain open_clip architecture
and preprocessing (mean, std, ...) as well and gets a model card: method, data, alpha and figures. Such a folder can be
uploaded to huggingface.co, where 'hf-hub:OWNER/REPOSITORY' names it.

With --keep-global OUT holds the initial blocks, so that global embeddings are those of the initial model to the bit,
and a second file beside it, OUT.dense.safetensors, holds the trained ones. DenseImageEncoder reads both; plain
open_clip reads the first, and sees the initial model.

Examples:
    python tools/export_encoder.py work_dirs/pretrain_coco/iter_11088.pth weights/densevlm_eva02_b16.safetensors
    python tools/export_encoder.py work_dirs/pretrain_coco/iter_11088.pth weights/densevlm_eva02_b16
    python tools/export_encoder.py work_dirs/densevlm/iter_300.pth tiny.safetensors --image-only
    python tools/export_encoder.py work_dirs/densevlm/iter_300.pth tiny.safetensors --keep-global
    python tools/export_encoder.py work_dirs/pretrain_coco/iter_11088.pth weights/densevlm_eva02_b16 \
        --results test.json --push-to-hub me/densevlm_eva02_b16
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from densevlm_mm.models.clip import ClipArchitecture
    from densevlm_mm.models.clip.ensemble_alpha import AlphaConfig, EnsembleAlpha


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="checkpoint of tools/train.py with a pretraining config")
    parser.add_argument("out", help="file to write, ending in .safetensors, or folder, without an ending")
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--text-from",
        metavar="WEIGHTS",
        help="CLIP weights with the text tower (a file, 'open_clip:TAG', 'hf-hub:REPOSITORY'); default: those training "
        "started from",
    )
    group.add_argument("--image-only", action="store_true", help="leave the text tower out (plain open_clip needs it)")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16", "float16"], default="float32", help="stored precision"
    )
    parser.add_argument(
        "--alpha",
        metavar="ALPHA",
        help="weight of the trained parameters in the ensemble, or FIRST:LAST for first and last block; default: the "
        "checkpoint's",
    )
    parser.add_argument(
        "--keep-global",
        action="store_true",
        help="keep the initial blocks for global embeddings, and the trained ones in a second file",
    )
    parser.add_argument("--results", metavar="FILE", help="figures for the card: tools/test.py --out FILE.json")
    parser.add_argument("--license", default="other", help="for the card, as huggingface.co calls it; default: other")
    parser.add_argument("--push-to-hub", metavar="REPO", help="upload the folder to this OWNER/REPOSITORY")
    parser.add_argument("--private", action="store_true", help="make a new repository for its owner alone")
    args = parser.parse_args()
    if Path(args.out).suffix and (args.push_to_hub or args.results):
        parser.error(f"--push-to-hub and --results are for a folder: give OUT without an ending, not {args.out}")
    return args


def export(
    checkpoint: str,
    out: str,
    text_from: str | None = None,
    image_only: bool = False,
    dtype: str = "float32",
    alpha: AlphaConfig | None = None,
    keep_global: bool = False,
) -> Path:
    """Export an encoder.

    Args:
        checkpoint: Training checkpoint.
        out: File or folder to write, see :func:`export_open_clip`.
        text_from: CLIP weights with the text tower; default: those that training started from.
        image_only: Leave the text tower out.
        dtype: Stored precision of floating-point tensors.
        alpha: Weight of the trained parameters in the ensemble, see ``EnsembleAlpha``; default: the checkpoint's.
        keep_global: Keep the initial blocks for global embeddings.

    Returns:
        The file of weights, the first of the two with ``keep_global``.

    Raises:
        FileNotFoundError: If the checkpoint, or the weights with the text tower, do not exist.
        ValueError: If the checkpoint does not come from a pretraining run, if the parts do not fit, or if, with
            ``keep_global``, it does not hold the initial weights or differs from them outside of transformer blocks.
    """
    import torch

    from densevlm_mm.models.clip import export_open_clip, read_state_dict, resolve_architecture
    from densevlm_mm.models.clip.encoder_parts import VALUE_GATE, describe_path, read_encoder_parts, select_parts
    from densevlm_mm.models.clip.ensemble_alpha import EnsembleAlpha
    from densevlm_mm.models.clip.kept_global import keep_global as branch
    from densevlm_mm.models.clip.model_source import read_description

    if alpha is not None:
        alpha = EnsembleAlpha.parse(alpha, "--alpha").config
    description = read_description(Path(checkpoint))
    if not description:
        raise ValueError(
            f"{checkpoint} does not say what its encoder is: it was not saved by tools/train.py with a pretraining "
            "config"
        )
    architecture = resolve_architecture(description)
    stored = read_state_dict(checkpoint, alpha=alpha)
    if keep_global:
        if ensemble_alpha(checkpoint) is None:
            raise ValueError(
                f"{checkpoint} does not hold the initial weights, which --keep-global keeps: it was trained without "
                "WeightEnsembleHook"
            )
        stored = branch(read_state_dict(checkpoint, alpha=0.0), stored, checkpoint)
    weights = {key: value for key, value in stored.items() if key.startswith("visual.")}
    if not image_only:
        weights = _with_text_tower(weights, architecture, checkpoint, text_from)
    weights |= select_parts(stored)
    weights = {
        key: value.to(getattr(torch, dtype)) if value.is_floating_point() and not key.startswith(VALUE_GATE) else value
        for key, value in weights.items()
    }
    dense_path = read_encoder_parts(Path(checkpoint)).dense_path or "residual"
    return export_open_clip(out, weights, architecture, **describe_path(dense_path))


def _with_text_tower(
    visual: dict[str, Tensor], architecture: ClipArchitecture, checkpoint: str, text_from: str | None
) -> dict[str, Tensor]:
    from densevlm_mm.models.clip import CheckpointName, build_clip
    from densevlm_mm.models.clip.loading import load_strictly

    source = text_from or _origin(checkpoint)
    if not source or source == "random" or not CheckpointName.parse(source).exists():
        raise FileNotFoundError(
            f"the weights with the text tower, {source or 'which the checkpoint does not name'}, are not there: give "
            "them with --text-from, or leave the text tower out with --image-only"
        )
    # Of these weights only the text tower is used: how their images are normalised does not matter.
    clip: Any = build_clip({"model_name": architecture.name, "model_cfg": architecture.cfg}, source)
    tower = {name.removeprefix("visual."): value for name, value in visual.items()}
    load_strictly(clip.visual, tower, source=f"checkpoint {checkpoint!r}", target=architecture.name)
    return clip.state_dict()


def _origin(checkpoint: str) -> str:
    """The weights that training started from, as far as the checkpoint says."""
    from densevlm_mm.checkpoint_files import read_checkpoint

    content = read_checkpoint(checkpoint, verify=False).content
    return content["encoder"].get("checkpoint", "") if isinstance(content, dict) and "encoder" in content else ""


def ensemble_alpha(checkpoint: str) -> EnsembleAlpha | None:
    """The alpha that a checkpoint carries."""
    from densevlm_mm.checkpoint_files import read_checkpoint
    from densevlm_mm.models.clip.ensemble_alpha import EnsembleAlpha

    ensemble = read_checkpoint(checkpoint, verify=False).content.get("weight_ensemble")
    return None if ensemble is None else EnsembleAlpha.parse(ensemble["alpha"])


def main() -> None:
    """Export, and say what was written."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error
    from densevlm_mm.apis.model_card import model_card, push_to_hub, read_results, training_facts, write_card
    from densevlm_mm.models.clip import resolve_architecture
    from densevlm_mm.models.clip.encoder_parts import companion_file
    from densevlm_mm.models.clip.ensemble_alpha import EnsembleAlpha
    from densevlm_mm.models.clip.model_source import read_description

    with exit_on_user_error("tools/export_encoder.py"):
        results = read_results(args.results) if args.results else None
        file = export(
            args.checkpoint, args.out, args.text_from, args.image_only, args.dtype, args.alpha, args.keep_global
        )
        preprocessing = resolve_architecture(read_description(file)).preprocess_cfg
    print(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB)")
    if args.keep_global:
        blocks = companion_file(file)
        print(f"  and {blocks} ({blocks.stat().st_size / 1e6:.1f} MB), the trained blocks, which belongs beside it")
    print(f"  preprocessing  {', '.join(f'{key} {value}' for key, value in preprocessing.items())}")
    if Path(args.out).suffix:
        return
    facts = {"architecture": resolve_architecture(read_description(file)).name, **training_facts(args.checkpoint)}
    alpha = ensemble_alpha(args.checkpoint) if args.alpha is None else EnsembleAlpha.parse(args.alpha)
    if alpha is not None:
        facts["alpha"] = f"{alpha} (weights: alpha * trained + (1 - alpha) * initial)"
    if args.keep_global:
        facts["global embedding"] = f"that of the initial weights; dense features: {companion_file(file).name}"
    card = model_card(args.push_to_hub or file.parent.name, facts, results, args.license)
    print("  card           README.md" + ("" if write_card(args.out, card) else " was there and stays as it is"))
    if args.push_to_hub:
        with exit_on_user_error("tools/export_encoder.py"):
            print(f"  uploaded       {push_to_hub(file, args.push_to_hub, args.private)}")


if __name__ == "__main__":
    main()
