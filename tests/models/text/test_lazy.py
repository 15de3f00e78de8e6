import copy
from typing import Any

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from densevlm_mm.models.layers import text_similarity
from densevlm_mm.models.text import LazyClassEmbeddings, build_class_embeddings, kept_embeddings, request
from densevlm_mm.models.text.class_embeddings import ClassEmbeddings

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one process remembers is not what the next one finds."""
    monkeypatch.setattr(kept_embeddings, "_RECENT", {})


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The vocabularies that were encoded."""
    encoded: list[str] = []

    def counted(vocabulary: Any, *args: Any, **options: Any) -> ClassEmbeddings:
        encoded.append(vocabulary.name)
        return build_class_embeddings(vocabulary, *args, **options)

    monkeypatch.setattr(request, "build_class_embeddings", counted)
    return encoded


@pytest.fixture
def cfg(clip_config, tiny_clip_file, tmp_path) -> dict[str, Any]:
    names = [dict(name="cat", isthing=1), dict(name="dog", isthing=1), dict(name="sky", isthing=0)]
    source = dict(model_name=clip_config, checkpoint=str(tiny_clip_file), cache_dir=str(tmp_path / "cache"))
    return dict(vocabulary=names, templates="plain", **source)


def test_names_are_known_before_anything_is_encoded(cfg, encodings) -> None:
    lazy = LazyClassEmbeddings(cfg)
    assert (lazy.classes, len(lazy), lazy.name) == (("cat", "dog", "sky"), 3, "cat, dog, sky")
    assert lazy.embed_dim == 24
    assert not encodings
    for _ in range(2):
        text = lazy.text(CPU)
    assert encodings == ["cat, dog, sky"]
    torch.testing.assert_close(text, lazy.resolve().embeddings)
    torch.testing.assert_close(lazy.unit_text(CPU).norm(dim=1), torch.ones(3))
    assert lazy.thing_mask(CPU).tolist() == [True, True, False]
    assert len(encodings) == 1


def test_ready_embeddings_are_used_as_they_are(cfg) -> None:
    embeddings = LazyClassEmbeddings(dict(cfg, normalization="prompt")).resolve()
    lazy = LazyClassEmbeddings(embeddings)
    assert lazy.resolve() is embeddings
    assert torch.equal(lazy.text(CPU), embeddings.embeddings)
    assert (lazy.classes, lazy.embed_dim) == (embeddings.classes, 24)


def test_no_file_is_opened_before_it_is_needed(cfg, tmp_path) -> None:
    # A test must not fail for files that only a training reads.
    for missing in (dict(file=tmp_path / "gone.safetensors"), dict(cfg, vocabulary=str(tmp_path / "gone.txt"))):
        lazy = LazyClassEmbeddings(missing)
        lazy.for_encoder(24, "custom")
        with pytest.raises(FileNotFoundError, match="gone"):
            lazy.resolve()
        with pytest.raises(FileNotFoundError, match="gone"):
            _ = lazy.classes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(vocabulary="no_such"), "unknown vocabulary 'no_such'"),
        (dict(vocabulary=["cat", 3]), "class 1 has no name: 3"),
        (dict(vocabulary=[]), "holds no classes"),
        (dict(num_things=7), "num_things=7 does not fit"),
        (dict(templates="no_set"), "no_set"),
        (dict(template="plain"), r"unknown class-embedding option\(s\) \['template'\]"),
    ],
)
def test_what_is_wrong_and_in_no_file_is_said_at_once(cfg, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        LazyClassEmbeddings({**cfg, **change})


def test_what_is_wrong_in_a_file_is_said_when_it_is_used(cfg, tmp_path) -> None:
    (tmp_path / "twice.txt").write_text("cat\ncat\n")
    lazy = LazyClassEmbeddings(dict(cfg, vocabulary=str(tmp_path / "twice.txt")))
    with pytest.raises(ValueError, match="'cat' occurs twice"):
        lazy.resolve()


def test_an_encoder_of_another_dimension_is_refused_at_once(cfg, encodings) -> None:
    with pytest.raises(ValueError, match="dimension 24, the image encoder has 32"):
        LazyClassEmbeddings(cfg).for_encoder(32, "custom")
    with pytest.raises(ValueError, match="the image encoder is 'EVA02-B-16'"):
        LazyClassEmbeddings(cfg).for_encoder(24, "EVA02-B-16")
    assert not encodings


def test_an_encoder_of_another_dimension_is_refused_when_only_a_file_tells(cfg, tmp_path) -> None:
    LazyClassEmbeddings(cfg).resolve().save(tmp_path / "e.safetensors")
    lazy = LazyClassEmbeddings(str(tmp_path / "e.safetensors"))
    lazy.for_encoder(32, "custom")
    with pytest.raises(ValueError, match="dimension 24, the image encoder has 32"):
        lazy.resolve()


def test_a_folder_that_the_program_changes_later_moves_no_cache(cfg, tmp_path, monkeypatch) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "later").mkdir()
    monkeypatch.chdir(tmp_path / "start")
    lazy = LazyClassEmbeddings(dict(cfg, cache_dir="kept"))
    monkeypatch.chdir(tmp_path / "later")
    lazy.resolve()
    assert list((tmp_path / "start/kept").glob("*.safetensors"))
    assert not list((tmp_path / "later").iterdir())


def test_a_first_use_in_inference_mode_or_under_autocast_leaves_ordinary_tensors(cfg, encodings, tmp_path) -> None:
    expected = LazyClassEmbeddings(cfg).unit_text(CPU)
    kept_embeddings._RECENT.clear()
    lazy = LazyClassEmbeddings(dict(cfg, cache_dir=str(tmp_path / "another")))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        text = lazy.unit_text(CPU)
    assert len(encodings) == 2
    assert text.dtype == torch.float32
    assert torch.equal(text, expected)
    features = torch.randn(2, 24, requires_grad=True)
    (features @ text.T).sum().backward()  # saved for backward, which inference tensors cannot be
    assert features.grad is not None


class Classifier(nn.Module):
    """Cosines of projected features with class embeddings."""

    def __init__(self, classes: LazyClassEmbeddings) -> None:
        super().__init__()
        self.project = nn.Linear(4, 24)
        self.register_buffer("calls", torch.zeros(1))
        self._classes = classes

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return text_similarity(self.project(features), self._classes.unit_text(features.device))


def test_copies_of_a_model_share_what_was_encoded_before_or_after(cfg, encodings) -> None:
    torch.manual_seed(0)
    model = Classifier(LazyClassEmbeddings(cfg))
    early = copy.deepcopy(model)
    average = ExponentialMovingAverage(model, momentum=0.5)
    features = torch.randn(3, 4)
    expected = model(features)
    average.update_parameters(model)  # copies buffers one by one: both need the same
    for same in (early, average, copy.deepcopy(model)):
        torch.testing.assert_close(same(features), expected)
    assert len(encodings) == 1
    assert set(model.state_dict()) == {"project.weight", "project.bias", "calls"}
    early.load_state_dict(model.state_dict())


@pytest.mark.parametrize("first", ["eager", "compiled"])
def test_a_compiled_model_computes_the_same(cfg, first) -> None:
    torch.manual_seed(0)
    model = Classifier(LazyClassEmbeddings(cfg))
    features = torch.randn(3, 4)
    if first == "eager":
        model._classes.unit_text(CPU)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=first == "eager")  # no graph break once it is there
    try:
        torch.testing.assert_close(compiled(features), model(features))
        torch.testing.assert_close(compiled(features + 1), model(features + 1))
    finally:
        torch._dynamo.reset()


def test_two_processes_encode_once_train_and_fail_together(cfg, tmp_path, in_two_processes) -> None:
    def process(rank: int) -> dict[str, Any]:
        torch.manual_seed(0)
        model = Classifier(LazyClassEmbeddings(dict(cfg, cache_dir=str(tmp_path / f"cache_{rank}"))))
        wrapped = DistributedDataParallel(model, broadcast_buffers=True)
        features = torch.randn(5, 4, generator=torch.Generator().manual_seed(rank))
        wrapped(features).square().sum().backward()  # the first use, inside of the wrapper
        found = dict(
            text=model._classes.text(CPU), gradient=model.project.weight.grad, state=list(wrapped.state_dict())
        )
        try:
            LazyClassEmbeddings(dict(cfg, checkpoint=str(tmp_path / "gone.safetensors"))).resolve()
        except Exception as error:
            found["error"] = f"{type(error).__name__}: {error}"
        return found

    main, other = in_two_processes(process)
    assert torch.equal(main["text"], other["text"])
    assert torch.equal(main["text"], LazyClassEmbeddings(cfg).text(CPU))
    assert torch.equal(main["gradient"], other["gradient"])
    assert main["state"] == other["state"] == ["module.calls", "module.project.weight", "module.project.bias"]
    assert list((tmp_path / "cache_0").glob("*.safetensors"))
    assert not (tmp_path / "cache_1").exists()  # the main process alone encodes and writes
    assert main["error"] == other["error"]
    assert main["error"].startswith("FileNotFoundError: ")
    assert "gone.safetensors" in main["error"]
