"""Classes that a tokenizer makes one of: it cuts long prompts, and some tokenizers drop punctuation."""

from collections.abc import Sequence

from densevlm_mm.models.clip.tokenizer import Tokenizer


def check_tokens_differ(prompts: Sequence[Sequence[str]], tokenizer: Tokenizer) -> None:
    """Refuse two classes whose prompts differ and whose tokens do not: they would share one score.

    Args:
        prompts: The prompts of each of K classes, all in the same order of templates.
        tokenizer: Of the text tower.

    Raises:
        ValueError: If two classes are the same to the tokenizer; names a prompt of each.
    """
    # One prompt a class tells nearly all apart; all their prompts are tokenised only for those that it does not.
    same_first: dict[tuple[int, ...], list[int]] = {}
    for index, tokens in enumerate(tokenizer([own[0] for own in prompts]).tolist()):
        same_first.setdefault(tuple(tokens), []).append(index)
    for indices in same_first.values():
        if len({prompts[index][0] for index in indices}) < 2:
            continue
        seen: dict[frozenset[tuple[int, ...]], int] = {}
        for index in indices:
            key = frozenset(map(tuple, tokenizer(list(prompts[index])).tolist()))
            other = seen.setdefault(key, index)
            if set(prompts[other]) != set(prompts[index]):
                raise ValueError(
                    f"{prompts[other][0]!r:.150} and {prompts[index][0]!r:.150} are the same to the text tower, which "
                    "reads a prompt's first tokens only and may drop punctuation: shorten or rename one of the classes"
                )
