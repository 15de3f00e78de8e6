"""Things and stuff by a language model behind an OpenAI-compatible chat endpoint."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log

from densevlm_mm.vocabulary.category_sets.kinds import KINDS, Kind

_INSTRUCTION = """\
Words found in descriptions of images follow as a JSON list. Say of each whether it names a thing (an object that can
be counted and has a shape of its own: dog, car, cup), stuff (background without a shape of its own: sky, grass, wall,
building) or neither (not visible, an adjective, an activity, a person's name). Answer with nothing but a JSON object
that has every word, exactly as given, as a key and "thing", "stuff" or "neither" as its value."""
_RETRIED_STATUS = (408, 409, 429, 500, 502, 503, 504)


class ChatClassifier:
    """Ask a chat endpoint for the kinds of words, in batches; every answer must be complete and exact.

    Args:
        url: Base of the endpoint, ``http(s)://host/v1``; ``/chat/completions`` is added.
        model: Name of the model there.
        key: Sent as bearer token, if given.
        batch_size: Words a request.
        retries: Further attempts after a failed request or an unusable answer.
        timeout: Seconds to wait for an answer.
        pause: Seconds before the first further attempt; doubled each time.

    Raises:
        ValueError: If an argument is impossible.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        batch_size: int = 50,
        retries: int = 3,
        timeout: float = 120,
        pause: float = 2,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"the chat endpoint {url!r} must begin with http:// or https://")
        if batch_size < 1 or retries < 0 or not timeout > 0:
            raise ValueError(f"need batch_size >= 1, retries >= 0, timeout > 0; got {batch_size}, {retries}, {timeout}")
        self.url = url.rstrip("/") + "/chat/completions"
        self.model = model
        self.source = f"{model} at {url}"
        self.batch_size = batch_size
        self.retries = retries
        self.timeout = timeout
        self.pause = pause
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def classify(self, words: Sequence[str]) -> dict[str, Kind]:
        """Return the kind of every word.

        Raises:
            ValueError: If the endpoint cannot be reached, refuses, or gives no usable answer; names the word.
        """
        kinds: dict[str, Kind] = {}
        for start in range(0, len(words), self.batch_size):
            kinds |= self._ask(words[start : start + self.batch_size])
        return kinds

    def _ask(self, words: Sequence[str]) -> dict[str, Kind]:
        problem = ""
        for attempt in range(self.retries + 1):
            if attempt:
                print_log(f"asking {self.url} again: {problem}", "current")
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return parse_answer(self._post(words), words)
            except urllib.error.HTTPError as error:
                problem = f"HTTP status {error.code} ({error.reason})"
                if error.code not in _RETRIED_STATUS:
                    break
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem = str(error)
        raise ValueError(f"the chat endpoint {self.url} did not tell the kinds of {words[0]!r} ...: {problem}")

    def _post(self, words: Sequence[str]) -> Any:
        messages = [
            dict(role="system", content=_INSTRUCTION),
            dict(role="user", content=json.dumps(list(words), ensure_ascii=False)),
        ]
        body = json.dumps(dict(model=self.model, temperature=0, messages=messages)).encode()
        request = urllib.request.Request(self.url, body, self._headers)
        with urllib.request.urlopen(request, timeout=self.timeout) as response:
            return json.load(response)


def parse_answer(answer: Any, words: Sequence[str]) -> dict[str, Kind]:
    """Read the kinds out of an answer.

    Args:
        answer: The parsed JSON of a chat completion. Its text may be fenced as a code block.
        words: The words that were asked.

    Returns:
        The kind of every word.

    Raises:
        ValueError: If the answer is no JSON object, lacks a word, or has another kind; names the word.
    """
    try:
        text = answer["choices"][0]["message"]["content"].strip()
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"the answer is no chat completion: {str(answer)[:100]}") from error
    if text.startswith("```") and text.endswith("```"):
        text = text.strip("`").removeprefix("json")
    try:
        kinds = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the answer is not JSON: {text[:100]!r}") from error
    if not isinstance(kinds, dict):
        raise ValueError(f"the answer is no JSON object: {text[:100]!r}")
    for word in words:
        if kinds.get(word) not in KINDS:
            given = f"has {kinds[word]!r} for" if word in kinds else "lacks"
            raise ValueError(f"the answer {given} the word {word!r}; allowed are {', '.join(KINDS)}")
    return {word: kinds[word] for word in words}
