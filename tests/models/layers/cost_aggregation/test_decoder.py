import torch

from densevlm_mm.models.layers.cost_aggregation import CostDecoder


def test_decodes_every_class_with_its_images_guidance(reference):
    decoder = reference.randomise(CostDecoder(32, (8, 4), (32, 16)))
    x = torch.randn(2, 3, 4, 6, 32)
    guidance = [torch.randn(2, 8, 8, 12), torch.randn(2, 4, 16, 24)]
    result = decoder(x, guidance)
    assert result.shape == (2, 3, 16, 24)
    for image in range(2):
        expected = reference.decoder(decoder, x[image], [maps[image] for maps in guidance])
        torch.testing.assert_close(result[image], expected, atol=3e-5, rtol=1e-4)


def test_parameters_of_the_published_size():
    decoder = CostDecoder(128, (32, 16), (64, 32))
    sizes = [sum(p.numel() for p in part.parameters()) for part in (*decoder.steps, decoder.head)]
    assert sizes == [160_096, 40_112, 289]
