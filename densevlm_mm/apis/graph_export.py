"""Encoders as graphs for other runtimes: ``torch.export`` programs and ONNX files, for images of any size."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from densevlm_mm.files import atomic_write
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.optional_packages import require_packages

SUFFIXES = (".onnx", ".pt2")
FACTS = "densevlm_mm"  # the metadata's key of an ONNX file, and the stem of the .json in a .pt2
_AXES = {0: "batch", 2: "height", 3: "width"}
_MAX_PROTOBUF = 2**31 - 2**20  # bytes that one ONNX file can have


class DenseGraph(nn.Module):
    """What is exported: images as they are read, to embeddings or to one map a class.

    Args:
        encoder: The encoder; its mean and standard deviation become part of the graph.
        classes: Class embeddings of its embedding space; None gives the dense map itself.

    Raises:
        ValueError: If encoder and class embeddings do not belong together.

    Example:
        >>> graph = DenseGraph(DenseImageEncoder(checkpoint="weights/densevlm_eva02_b16.safetensors"))
        >>> save_graph(graph, "densevlm_eva02_b16.onnx")
    """

    def __init__(self, encoder: DenseImageEncoder, classes: ClassEmbeddings | None = None) -> None:
        super().__init__()
        self.encoder, self.classes = encoder.eval(), classes
        if classes is not None:
            classes.check_encoder(encoder.embed_dim)
            device = next(encoder.parameters()).device
            self.register_buffer("text_KD", nn.functional.normalize(classes.embeddings, dim=-1).to(device))

    @property
    def output_name(self) -> str:
        """'dense', or 'similarity' with classes."""
        return "dense" if self.classes is None else "similarity"

    @property
    def facts(self) -> dict:
        """What a file says of itself."""
        classes = None if self.classes is None else list(self.classes.classes)
        return {
            "model_name": self.encoder.model_name,
            "dense_path": self.encoder.dense_path,
            "input": "images: float32 (batch, 3, height, width), RGB, 0 to 1",
            "output": {
                "dense": "dense: float32 (batch, D, height // stride, width // stride), unit norm at every position",
                "similarity": "similarity: float32 (batch, K, height // stride, width // stride), cosine of position "
                "and class",
            }[self.output_name],
            "stride": self.encoder.stride,
            "classes": classes,
        }

    def forward(self, images: Tensor) -> Tensor:
        """Embed, and compare with the classes.

        Args:
            images: (B, 3, H, W) float32, RGB, from 0 to 1.

        Returns:
            (B, D, h, w) unit-norm embeddings, or (B, K, h, w) cosines.
        """
        dense = self.encoder.dense(self.encoder.normalize(images, max_value=1))
        return dense if self.classes is None else torch.einsum("bdhw,kd->bkhw", dense, self.text_KD)


def export_program(graph: DenseGraph) -> ExportedProgram:
    """Trace a graph with ``torch.export``; batch, height and width stay free.

    Of towers from timm the program takes sides that are multiples of the stride only: their patch embedding checks it.
    ONNX keeps no checks; there a remainder at the right and at the bottom is not seen, as by the encoder.

    Args:
        graph: The graph.
    """
    stride = graph.encoder.stride
    example = torch.zeros(2, 3, 3 * stride, 4 * stride, device=next(graph.encoder.parameters()).device)
    free = {axis: Dim.DYNAMIC for axis in _AXES}
    with torch.no_grad():
        return torch.export.export(graph, (example,), dynamic_shapes={"images": free}, strict=False)


def save_graph(graph: DenseGraph, path: str | Path) -> None:
    """Write a graph as ``.onnx``, or as ``.pt2`` for ``torch.export.load``.

    The file holds what it takes and gives, and the class names: as ONNX metadata, or as the extra file
    ``densevlm_mm.json``.

    Args:
        graph: The graph.
        path: The file.

    Raises:
        ValueError: If the path has another ending, packages are missing, or the weights are too large for one ONNX
            file (2 GB).
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"a graph is written to a file that ends in {' or '.join(SUFFIXES)}, got {str(path)!r}")
    if path.suffix == ".onnx":
        require_packages("writing ONNX", ("onnx", "onnxscript"), "onnx")
        size = sum(each.numel() * each.element_size() for each in graph.state_dict().values())
        if size > _MAX_PROTOBUF:
            raise ValueError(f"{size / 1e9:.1f} GB of weights do not fit into one ONNX file (2 GB): write a .pt2")
    program = export_program(graph)
    facts = json.dumps(graph.facts)
    with atomic_write(path) as partial:
        if path.suffix == ".pt2":
            torch.export.save(program, partial, extra_files={f"{FACTS}.json": facts})
        else:
            _save_onnx(program, partial, graph.output_name, facts)


def _save_onnx(program: ExportedProgram, path: Path, output_name: str, facts: str) -> None:
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it warns of every constant that it does not fold
    exported = torch.onnx.export(
        program,
        input_names=["images"],
        output_names=[output_name],
        dynamic_shapes={"images": _AXES},  # their names; that they are free the program says
        dynamo=True,
        verbose=False,
    )
    assert exported is not None
    exported.model.metadata_props[FACTS] = facts
    exported.save(path, external_data=False)


def check_onnx(graph: DenseGraph, path: str | Path, sizes: Sequence[tuple[int, int]], tolerance: float = 1e-4) -> float:
    """Compare an ONNX file, run by onnxruntime on the CPU, with the graph.

    Args:
        graph: What the file was written from.
        path: The file.
        sizes: (height, width) of random images in pixels.
        tolerance: Largest difference allowed.

    Returns:
        The largest difference.

    Raises:
        ValueError: If it is larger than ``tolerance``, or onnxruntime is missing.
    """
    require_packages("checking an ONNX file", ("onnxruntime",), "onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    device = next(graph.encoder.parameters()).device
    worst = 0.0
    for height, width in sizes:
        images = torch.rand(1, 3, height, width, generator=generator)
        with torch.no_grad():
            expected = graph(images.to(device)).cpu().numpy()
        found = session.run([graph.output_name], {"images": images.numpy()})[0]
        worst = max(worst, float(np.abs(found - expected).max()))
    if not worst <= tolerance:
        raise ValueError(f"{path} differs from the encoder by {worst:.1e}, more than {tolerance:.0e}")
    return worst
