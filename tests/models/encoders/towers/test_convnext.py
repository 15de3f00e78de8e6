import pytest
import torch
from torch.nn.functional import layer_norm, linear, normalize

from densevlm_mm.models.encoders import DenseImageEncoder

TOLERANCE = {"atol": 5e-6, "rtol": 1e-5}


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (40, 70)])
def test_dense_path_norms_and_projects_every_position(stock_model, images, height, width):
    model = stock_model("convnext")
    trunk, x, w = model.visual.trunk, images(height, width), model.state_dict()
    features, dense = DenseImageEncoder(clip_model=model).features_and_dense(x, (0, 3))
    with torch.no_grad():
        stage_1 = trunk.stages[0](trunk.stem(x))
        stage_4 = trunk.stages[1:](stage_1)
        norm = w["visual.trunk.head.norm.weight"], w["visual.trunk.head.norm.bias"], trunk.head.norm.eps
        tokens = linear(layer_norm(stage_4.permute(0, 2, 3, 1), (32,), *norm), w["visual.head.proj.weight"])
    torch.testing.assert_close(features[0], stage_1)
    torch.testing.assert_close(features[1], stage_4)
    assert dense.shape[-2:] == (height // 32, width // 32)
    torch.testing.assert_close(dense, normalize(tokens, dim=-1).permute(0, 3, 1, 2), atol=2e-6, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160)])
def test_global_embedding_is_open_clips(stock_model, images, height, width):
    model = stock_model("convnext")
    with torch.no_grad():
        expected = model.encode_image(images(height, width))
    torch.testing.assert_close(DenseImageEncoder(clip_model=model)(images(height, width)), expected, **TOLERANCE)


def test_reported_shape(stock_model):
    encoder = DenseImageEncoder(clip_model=stock_model("convnext"))
    assert (encoder.embed_dim, encoder.width, encoder.stride, encoder.num_blocks, encoder.image_size) == (
        16,
        32,
        32,
        4,
        64,
    )
