"""Train the TinyScenes tokenizer: byte-pair merges that make every caption word one token.

``python tools/tiny/make_tokenizer.py densevlm_mm/tiny_scenes/assets/tiny_scenes_bpe.txt.gz`` writes the file that
``open_clip.SimpleTokenizer(bpe_path=...)`` reads and prints the ``vocab_size`` that the model configurations need.
"""

import argparse
import gzip
from collections import Counter
from itertools import pairwise
from pathlib import Path

NUM_BYTE_TOKENS = 512  # each byte inside a word and at its end
NUM_SPECIAL_TOKENS = 2  # start and end of text


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair encoding: merge the most frequent pair (ties: alphabetical) until every word is one symbol."""
    pieces = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter(pair for word in pieces for pair in pairwise(word))
        if not pairs:
            return merges
        first, second = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append((first, second))
        for word in pieces:
            index = 0
            while index < len(word) - 1:
                if (word[index], word[index + 1]) == (first, second):
                    word[index : index + 2] = [first + second]
                index += 1


def write_merges(path: Path, merges: list[tuple[str, str]]) -> None:
    """Write the merges below a version line; a trailing newline would become an empty token."""
    text = "\n".join(["#version: tiny_scenes", *(" ".join(merge) for merge in merges)])
    path.write_bytes(gzip.compress(text.encode(), mtime=0))  # the same bytes every time


def main() -> None:
    """Write the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the .txt.gz to write")
    out = parser.parse_args().out

    from densevlm_mm.tiny_scenes.captions import caption_words

    merges = learn_merges(caption_words())
    write_merges(out, merges)
    print(f"{len(merges)} merges, vocab_size {NUM_BYTE_TOKENS + len(merges) + NUM_SPECIAL_TOKENS}")


if __name__ == "__main__":
    main()
