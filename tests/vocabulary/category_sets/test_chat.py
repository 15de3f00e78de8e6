import contextlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from densevlm_mm.vocabulary.category_sets import ChatClassifier
from densevlm_mm.vocabulary.category_sets.chat import parse_answer

KINDS = dict(dog="thing", sky="stuff", happy="neither", cup="thing", grass="stuff")


def completion(content: str) -> dict:
    return dict(choices=[dict(message=dict(role="assistant", content=content))])


class Endpoint(ThreadingHTTPServer):
    """A chat endpoint on this machine that gives queued answers, then right ones."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict] = []
        self.queued: list[tuple[int, dict | str]] = []
        self.delays: list[float] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(dict(path=self.path, key=self.headers["Authorization"], **body))
        words = json.loads(body["messages"][-1]["content"])
        right = completion(json.dumps({word: KINDS[word] for word in words}))
        time.sleep(self.server.delays.pop(0) if self.server.delays else 0)
        status, answer = self.server.queued.pop(0) if self.server.queued else (200, right)
        content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # who did not wait for the answer
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def endpoint():
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def classifier(endpoint: Endpoint, **options) -> ChatClassifier:
    return ChatClassifier(endpoint.url, "tiny", **{"pause": 0.01, "timeout": 5, **options})


def test_words_are_asked_in_batches_with_the_key(endpoint) -> None:
    found = classifier(endpoint, key="secret", batch_size=2).classify(list(KINDS))
    assert found == KINDS
    assert [json.loads(r["messages"][-1]["content"]) for r in endpoint.requests] == [
        ["dog", "sky"], ["happy", "cup"], ["grass"]
    ]  # fmt: skip
    assert {(r["path"], r["key"], r["model"]) for r in endpoint.requests} == {
        ("/v1/chat/completions", "Bearer secret", "tiny")
    }


@pytest.mark.parametrize(
    "failure",
    [
        (503, "busy"),
        (429, "later"),
        (200, "no JSON"),
        (200, completion("I think a dog is a thing.")),
        (200, completion('{"sky": "stuff"}')),
    ],
)
def test_failures_and_unusable_answers_are_asked_again(endpoint, failure) -> None:
    endpoint.queued = [failure]
    assert classifier(endpoint).classify(["dog", "sky"]) == dict(dog="thing", sky="stuff")
    assert len(endpoint.requests) == 2


def test_an_answer_that_does_not_come_in_time_is_asked_again(endpoint) -> None:
    endpoint.delays = [0.6]
    assert classifier(endpoint, timeout=0.2).classify(["dog"]) == dict(dog="thing")
    assert len(endpoint.requests) == 2


def test_the_last_problem_is_told_with_the_word(endpoint) -> None:
    endpoint.queued = [(200, completion('{"dog": "thing", "sky": "background"}'))] * 3
    with pytest.raises(ValueError, match=r"'background' for the word 'sky'"):
        classifier(endpoint, retries=2).classify(["dog", "sky"])
    assert len(endpoint.requests) == 3


def test_a_refusal_is_not_repeated(endpoint) -> None:
    endpoint.queued = [(401, "no")] * 2
    with pytest.raises(ValueError, match=r"HTTP status 401.*"):
        classifier(endpoint).classify(["dog"])
    assert len(endpoint.requests) == 1


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=re.escape("http://127.0.0.1:9/v1/chat/completions")):
        ChatClassifier("http://127.0.0.1:9/v1", "tiny", retries=0, timeout=2).classify(["dog"])


def test_a_fenced_answer_is_read_and_others_are_not() -> None:
    assert parse_answer(completion('```json\n{"dog": "thing"}\n```'), ["dog"]) == dict(dog="thing")
    with pytest.raises(ValueError, match="lacks the word 'dog'"):
        parse_answer(completion("{}"), ["dog"])
    with pytest.raises(ValueError, match="no chat completion"):
        parse_answer(dict(error="overloaded"), ["dog"])
    with pytest.raises(ValueError, match="no JSON object"):
        parse_answer(completion("[]"), ["dog"])


@pytest.mark.parametrize(
    ("url", "options"), [("file:///etc/hosts", {}), ("http://x", dict(batch_size=0)), ("http://x", dict(timeout=0))]
)
def test_impossible_arguments_are_errors(url, options) -> None:
    with pytest.raises(ValueError, match=r"endpoint|need"):
        ChatClassifier(url, "tiny", **options)
