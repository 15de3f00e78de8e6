"""Builds the text embeddings of a vocabulary with the text tower of a CLIP model."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from densevlm_mm.vocabulary.templates import TEMPLATE_SETS
from densevlm_mm.vocabulary.vocabulary import SYNONYM_RULES, packaged_vocabularies

if TYPE_CHECKING:
    from densevlm_mm.models.text import ClassEmbeddings

EXAMPLE = """\
example:
  python tools/build_class_embeddings.py set_316 --model EVA02-B-16 --checkpoint EVA02_CLIP_B_psz16_s8B.pt \\
      --templates vild --normalization class --out data/class_embeddings/set_316_eva02_b16.safetensors
"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "vocabulary",
        nargs="+",
        help=f"a packaged vocabulary ({', '.join(packaged_vocabularies())}), a .json, a .txt with one name a line, or "
        "several names",
    )
    parser.add_argument("--model", required=True, help="open_clip model name, or a .json file with an open_clip config")
    parser.add_argument(
        "--checkpoint",
        required=True,
        help="weights that hold the text tower: a file, 'open_clip:TAG', 'hf-hub:REPOSITORY', or 'random'",
    )
    parser.add_argument("--out", required=True, help="file to write (.safetensors)")
    parser.add_argument("--templates", default="vild", choices=TEMPLATE_SETS, help="prompt templates (default: vild)")
    parser.add_argument(
        "--normalization",
        default="class",
        metavar="{class,prompt}",
        help="class: unit-length class vectors (default); prompt: mean of unit prompt vectors (published training)",
    )
    parser.add_argument(
        "--synonyms",
        default="all",
        choices=SYNONYM_RULES,
        help="of 'building, edifice' use all names, averaged (default), the first, or the joined string as it is",
    )
    parser.add_argument(
        "--extra-class",
        action="append",
        default=[],
        metavar="NAME",
        help="append a class, e.g. background (repeatable)",
    )
    parser.add_argument("--num-things", type=int, help="take exactly the first N classes for things")
    parser.add_argument("--device", help="default: the GPU if there is one")
    parser.add_argument("--batch-size", type=int, default=256, help="prompts per forward pass (default: 256)")
    parser.add_argument("--autocast", choices=["bfloat16", "float16"], help="faster and less exact; default: float32")
    parser.add_argument(
        "--trust", action="store_true", help="allow a pickled checkpoint of any content to run its code"
    )
    args = parser.parse_args()
    if not args.out.endswith(".safetensors"):
        parser.error(f"--out {args.out} must end in .safetensors")
    return args


def build(args: argparse.Namespace) -> ClassEmbeddings:
    """Build and save what the command line asks for."""
    from densevlm_mm.models.text import build_class_embeddings
    from densevlm_mm.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(args.vocabulary if len(args.vocabulary) > 1 else args.vocabulary[0])
    if args.num_things is not None:
        vocabulary = vocabulary.with_num_things(args.num_things)
    vocabulary = vocabulary.with_extra_classes(args.extra_class)
    is_config = args.model.endswith(".json")
    model_name = json.loads(Path(args.model).read_text(encoding="utf-8")) if is_config else args.model
    embeddings = build_class_embeddings(
        vocabulary,
        model_name,
        args.checkpoint,
        args.templates,
        args.normalization,
        args.device,
        args.batch_size,
        synonyms=args.synonyms,
        autocast_dtype=args.autocast,
        trust=args.trust,
    )
    embeddings.save(args.out)
    return embeddings


def main() -> None:
    """Run the tool."""
    args = parse_args()

    import densevlm_mm
    from densevlm_mm.apis import exit_on_user_error

    start = time.perf_counter()
    with exit_on_user_error("tools/build_class_embeddings.py"):
        embeddings = build(args)
    norms = embeddings.embeddings.norm(dim=-1)
    things = "no thing flags" if embeddings.is_thing is None else f"{int(embeddings.is_thing.sum())} things"
    print(f"{args.out} (densevlm_mm {densevlm_mm.__version__})")
    print(f"  vocabulary     {embeddings.name}: K = {len(embeddings)} classes, {things}")
    print(f"  model          {embeddings.model}: D = {embeddings.embed_dim}, text tower {embeddings.fingerprint[:16]}")
    print(f"  prompts        {embeddings.templates} templates, synonyms {embeddings.synonyms}, {embeddings.precision}")
    print(f"  normalization  {embeddings.normalization}: norms {norms.min():.4f} to {norms.max():.4f}")
    print(f"  time           {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
