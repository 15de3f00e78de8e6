import json

import onnxruntime
import pytest
import torch

from densevlm_mm import optional_packages
from densevlm_mm.apis.graph_export import DenseGraph, check_onnx, export_program, save_graph
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.text import ClassEmbeddings

# Not the example's size, one of them with remainders of a patch.
SIZES = [(64, 64), (72, 101)]


def encoder_of(model) -> DenseImageEncoder:
    return DenseImageEncoder(clip_model=model)


def classes_of(encoder: DenseImageEncoder) -> ClassEmbeddings:
    # Prompt means are shorter than unit length: the cosine must not depend on it.
    embeddings = 0.9 * torch.randn(3, encoder.embed_dim, generator=torch.Generator().manual_seed(0))
    names = ("sky", "fishing boat", "Süd-Café")
    return ClassEmbeddings("own", names, None, embeddings, "custom", "plain", "prompt", "0")


def expected_similarity(encoder: DenseImageEncoder, classes: ClassEmbeddings, images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (encoder.mean, encoder.std))
    dense = encoder.dense((images - mean) / std)
    return torch.cosine_similarity(dense[:, None], classes.embeddings[None, :, :, None, None], dim=2)


@pytest.mark.parametrize("family", ["eva02", "resnet"])
def test_onnx_is_the_dense_map_at_every_size(stock_model, tmp_path, family) -> None:
    graph = DenseGraph(encoder_of(stock_model(family)))
    save_graph(graph, tmp_path / "encoder.onnx")
    assert check_onnx(graph, tmp_path / "encoder.onnx", SIZES) < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx")
    images = torch.rand(3, 3, 96, 64)  # a batch of another size, and independent of the check
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (graph.encoder.mean, graph.encoder.std))
    (found,) = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(
        torch.from_numpy(found), graph.encoder.dense((images - mean) / std).contiguous(), atol=1e-4, rtol=0
    )
    with pytest.raises(ValueError, match=r"encoder\.onnx differs from the encoder by"):
        check_onnx(DenseGraph(encoder_of(stock_model(family, seed=1))), tmp_path / "encoder.onnx", SIZES)


@pytest.mark.parametrize("family", ["vit_avg", "eva01", "timm_vit", "siglip", "convnext"])
def test_every_family_is_traced_for_any_grid_and_is_as_before_afterwards(stock_model, images, family) -> None:
    encoder = encoder_of(stock_model(family))
    given = images(72, 104, batch=1)
    before = encoder.dense(given)
    program = export_program(DenseGraph(encoder))
    for cells in ((2, 2), (3, 7), (5, 2)):
        pixels = torch.rand(1, 3, *(encoder.stride * count for count in cells))
        torch.testing.assert_close(
            program.module()(pixels), encoder.dense(encoder.normalize(pixels, 1)), atol=1e-5, rtol=0
        )
    assert torch.equal(encoder.dense(given), before)


def test_the_value_path_is_what_is_exported(stock_model, tmp_path) -> None:
    path = dict(type="values", layers=2, gate=True)
    encoder = DenseImageEncoder(clip_model=stock_model("eva02"), dense_path=path)
    torch.nn.init.normal_(encoder.value_gate.weight)
    graph = DenseGraph(encoder)
    assert graph.facts["dense_path"] == path
    save_graph(graph, tmp_path / "encoder.onnx")
    assert check_onnx(graph, tmp_path / "encoder.onnx", SIZES) < 1e-4
    pixels = torch.rand(1, 3, 40, 56)
    torch.testing.assert_close(export_program(graph).module()(pixels), graph(pixels), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="differs from the encoder by"):
        check_onnx(DenseGraph(encoder_of(stock_model("eva02"))), tmp_path / "encoder.onnx", SIZES)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_names_are_baked_in(stock_model, tmp_path, suffix) -> None:
    encoder = encoder_of(stock_model("vit"))
    classes = classes_of(encoder)
    path = tmp_path / f"graph{suffix}"
    save_graph(DenseGraph(encoder, classes), path)
    images = torch.rand(2, 3, 48, 80)
    if suffix == ".onnx":
        session = onnxruntime.InferenceSession(path)
        facts = session.get_modelmeta().custom_metadata_map["densevlm_mm"]
        (found,) = session.run(["similarity"], {"images": images.numpy()})
    else:
        extra = {"densevlm_mm.json": ""}
        found = torch.export.load(path, extra_files=extra).module()(images).numpy()
        facts = extra["densevlm_mm.json"]
    assert json.loads(facts)["classes"] == list(classes.classes)
    expected = expected_similarity(encoder, classes, images)
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=0)


def test_other_endings_and_missing_packages_are_one_line(stock_model, tmp_path, monkeypatch) -> None:
    graph = DenseGraph(encoder_of(stock_model("vit")))
    with pytest.raises(ValueError, match=r"\.onnx or \.pt2"):
        save_graph(graph, tmp_path / "encoder.trt")
    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"writing ONNX needs onnx, onnxscript: pip install 'densevlm_mm\[onnx\]'"):
        save_graph(graph, tmp_path / "encoder.onnx")
    assert list(tmp_path.iterdir()) == []


def test_classes_of_another_space_are_refused(stock_model) -> None:
    encoder = encoder_of(stock_model("vit"))
    classes = ClassEmbeddings("own", ("sky",), None, torch.ones(1, 5), "custom", "plain", "class", "0")
    with pytest.raises(ValueError, match="dimension 5"):
        DenseGraph(encoder, classes)
