"""Make a category set from words that describe images, for example from a captioner or tagger.

Words are counted once an image; spellings, plurals and your synonyms are joined; rare words go; the rest is told apart
into things and stuff by your own file, by WordNet, or by a chat endpoint, whichever knows a word first in this order.
Nothing is lost in silence: OUT.report.json lists every joined and every dropped word with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densevlm_mm.files import write_text

if TYPE_CHECKING:
    from densevlm_mm.vocabulary.category_sets.kinds import KindClassifier

EXAMPLE = """\
input, one JSON object a line:
  {"image": "000000000009.jpg", "words": ["broccoli", "Plates", "a table"]}

examples:
  python tools/build_vocabulary.py words.jsonl my_set.json --kinds kinds.json --wordnet --min-images 20
  python tools/build_vocabulary.py words.jsonl my_set.json --chat-url http://localhost:8000/v1 --chat-model NAME
  python tools/train.py configs/densevlm/pretrain_coco.py --cfg-options model.class_embeddings.vocabulary=my_set.json
"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", help="JSON lines with the words of every image")
    parser.add_argument("out", help="vocabulary to write (.json)")
    parser.add_argument("--min-images", type=int, default=10, help="fewest images a word must describe (default: 10)")
    parser.add_argument("--synonyms", metavar="FILE", help='JSON object, {"automobile": "car"}: counted as car')
    parser.add_argument(
        "--kinds", metavar="FILE", help='JSON object, {"dog": "thing", "sky": "stuff", "old": "neither"}'
    )
    parser.add_argument("--wordnet", action="store_true", help="ask WordNet (needs nltk and its data)")
    parser.add_argument("--chat-url", metavar="URL", help="ask an OpenAI-compatible endpoint, http(s)://host/v1")
    parser.add_argument("--chat-model", metavar="NAME", help="model of the endpoint")
    parser.add_argument(
        "--chat-key-env", default="OPENAI_API_KEY", metavar="NAME", help="environment variable with the endpoint's key"
    )
    parser.add_argument("--timeout", type=float, default=120, help="seconds to wait for an answer (default: 120)")
    parser.add_argument("--retries", type=int, default=3, help="further attempts of a failed request (default: 3)")
    args = parser.parse_args()
    if not args.out.endswith(".json"):
        parser.error(f"OUT {args.out} must end in .json")
    if not (args.kinds or args.wordnet or args.chat_url):
        parser.error("say who tells things from stuff: --kinds FILE, --wordnet or --chat-url URL")
    if bool(args.chat_url) != bool(args.chat_model):
        parser.error("--chat-url and --chat-model belong together")
    return args


def build_classifiers(args: argparse.Namespace) -> list[KindClassifier]:
    """Those that tell things from stuff, in the order of their authority."""
    from densevlm_mm.vocabulary.category_sets import ChatClassifier, MappedKinds, WordNetClassifier

    classifiers: list[KindClassifier] = []
    if args.kinds:
        classifiers.append(MappedKinds(args.kinds))
    if args.wordnet:
        classifiers.append(WordNetClassifier())
    if args.chat_url:
        key = os.environ.get(args.chat_key_env)
        classifiers.append(
            ChatClassifier(args.chat_url, args.chat_model, key, retries=args.retries, timeout=args.timeout)
        )
    return classifiers


def build(args: argparse.Namespace) -> dict[str, Any]:
    """Write vocabulary and report.

    Returns:
        The report.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file is malformed, a classifier fails, or no word is left.
    """
    from densevlm_mm.vocabulary import Vocabulary
    from densevlm_mm.vocabulary.category_sets import count_words, load_synonyms, split_kinds

    classifiers = build_classifiers(args)
    asked = ", ".join(classifier.source for classifier in classifiers)
    counts = count_words(args.words, load_synonyms(args.synonyms) if args.synonyms else None)
    frequent = [word for word, count in counts.num_images.items() if count >= args.min_images]
    kinds = split_kinds(frequent, classifiers)
    classes = []
    dropped = [dict(word=word, images=count, reason="nothing is left of it") for word, count in counts.unusable.items()]
    for word, count in counts.num_images.items():
        kind, source = kinds.get(word, (None, ""))
        if count < args.min_images:
            dropped.append(dict(word=word, images=count, reason=f"in fewer than {args.min_images} images"))
        elif kind is None:
            dropped.append(dict(word=word, images=count, reason=f"not known to {asked}"))
        elif kind == "neither":
            dropped.append(dict(word=word, images=count, reason=f"neither thing nor stuff ({source})"))
        else:
            classes.append(dict(name=word, isthing=int(kind == "thing"), images=count, source=source))
    classes.sort(key=lambda entry: -entry["isthing"])  # things first; the order by frequency stays
    report = dict(classes=classes, dropped=dropped, merged=counts.merged)
    out = Path(args.out)
    report_path = out.with_suffix(".report.json")
    write_text(report_path, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    if not classes:
        raise ValueError(f"no word is left: {report_path} has the reasons; lower --min-images?")
    entries = [json.dumps(dict(name=entry["name"], isthing=entry["isthing"]), ensure_ascii=False) for entry in classes]
    name = json.dumps(out.stem, ensure_ascii=False)
    write_text(out, f'{{"name": {name}, "classes": [\n  ' + ",\n  ".join(entries) + "\n]}\n")
    Vocabulary.load(out)  # what was written can be read
    return report


def main() -> None:
    """Build, and say what became of the words."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error

    with exit_on_user_error("tools/build_vocabulary.py"):
        report = build(args)
    num_things = sum(entry["isthing"] for entry in report["classes"])
    num_stuff = len(report["classes"]) - num_things
    print(f"{args.out}: {num_things} things, {num_stuff} stuff classes")
    report_path = Path(args.out).with_suffix(".report.json")
    print(f"  {len(report['merged'])} forms joined, {len(report['dropped'])} words dropped: see {report_path}")


if __name__ == "__main__":
    main()
