import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn import functional

from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.tiny_scenes import CLASS_NAMES, SceneGenerator
from densevlm_mm.tiny_scenes.captions import caption_words, compose_caption
from densevlm_mm.tiny_scenes.clip import ASSETS_DIR, STUDENT_NAME, TEACHER_NAME, ConvStem

WEIGHTS = {
    STUDENT_NAME: ASSETS_DIR / "tiny_scenes_student.safetensors",
    TEACHER_NAME: ASSETS_DIR / "tiny_scenes_teacher.safetensors",
}


def build_tokenizer(name):
    text_cfg = open_clip.get_model_config(name)["text_cfg"]
    bpe_path = ASSETS_DIR / text_cfg["tokenizer_kwargs"]["bpe_path"]
    return open_clip.SimpleTokenizer(str(bpe_path), context_length=text_cfg["context_length"])


@pytest.fixture(scope="module")
def clips():
    models = {}
    for name, path in WEIGHTS.items():
        models[name] = open_clip.create_model(name).eval()
        models[name].load_state_dict(load_file(path))
    return models


@pytest.mark.parametrize(("name", "width", "depth"), [(STUDENT_NAME, 96, 2), (TEACHER_NAME, 128, 3)])
def test_open_clip_builds_the_architecture_by_name(clips, name, width, depth):
    trunk = clips[name].visual.trunk
    assert trunk.pos_embed.shape == (1, 64, width)
    assert len(trunk.blocks) == depth
    assert trunk.cls_token is None
    with torch.no_grad():
        assert clips[name].encode_image(torch.zeros(2, 3, 64, 64)).shape == (2, 128)


def test_global_embedding_is_the_mean_of_projected_tokens(clips):
    visual = clips[STUDENT_NAME].visual
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        tokens = visual.trunk.norm(visual.trunk.blocks(visual.trunk.patch_embed(images) + visual.trunk.pos_embed))
        torch.testing.assert_close(visual(images), (tokens @ visual.head.proj.weight.T).mean(1))


def test_dense_encoder_reads_the_committed_weights(clips):
    encoder = DenseImageEncoder(STUDENT_NAME, checkpoint=str(WEIGHTS[STUDENT_NAME])).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), clips[STUDENT_NAME].encode_image(images), atol=2e-5, rtol=1e-4)
        assert encoder.dense(images).shape == (2, 128, 8, 8)
        assert encoder.dense(torch.randn(1, 3, 128, 96)).shape == (1, 128, 16, 12)
    assert (encoder.stride, encoder.embed_dim, encoder.width, encoder.num_blocks) == (8, 128, 96, 2)


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (70, 37)])
def test_stem_gives_one_token_per_whole_cell(size):
    stem = ConvStem(img_size=64, embed_dim=32).eval()
    images = torch.randn(1, 3, *size)
    tokens = stem(images)
    assert tokens.shape == (1, (size[0] // 8) * (size[1] // 8), 32)
    cut = images[..., : size[0] // 8 * 8, : size[1] // 8 * 8]
    torch.testing.assert_close(tokens, stem(cut))


def test_stem_refuses_another_stride():
    with pytest.raises(ValueError, match=r"stride 8.*patch_size 16"):
        ConvStem(patch_size=16)


@pytest.mark.parametrize("name", [STUDENT_NAME, TEACHER_NAME])
def test_tokenizer_fits_the_text_tower_and_knows_every_caption_word(name):
    tokenizer = build_tokenizer(name)
    text_cfg = open_clip.get_model_config(name)["text_cfg"]
    assert tokenizer.vocab_size == text_cfg["vocab_size"]
    assert all(len(tokenizer.encode(word)) == 1 for word in caption_words())
    captions = [compose_caption([0, 1, 2, 3, 20], np.random.default_rng(seed)) for seed in range(20)]
    assert max(len(tokenizer.encode(caption)) for caption in captions) + 2 <= text_cfg["context_length"]


@pytest.mark.parametrize("name", [STUDENT_NAME, TEACHER_NAME])
def test_committed_weights_say_what_they_are(name):
    with safe_open(WEIGHTS[name], "pt") as file:
        metadata = file.metadata()
        assert all(file.get_tensor(key).dtype in (torch.bfloat16, torch.int64) for key in file.keys())  # noqa: SIM118
    assert (metadata["model_name"], metadata["format"], metadata["part"]) == (name, "open_clip", "all")
    assert json.loads(metadata["model_cfg"]) == open_clip.get_model_config(name)


def test_assets_stay_below_five_megabytes():
    assert sum(path.stat().st_size for path in Path(ASSETS_DIR).iterdir() if path.is_file()) <= 5_000_000


def test_committed_student_has_foreground_bias_and_the_teacher_less(clips):
    generator = SceneGenerator(seed=0, split="val")
    scenes = [generator.scene(index) for index in range(100)]
    pixels = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2) / 255
    mean = torch.tensor(open_clip.constants.OPENAI_DATASET_MEAN).view(3, 1, 1)
    std = torch.tensor(open_clip.constants.OPENAI_DATASET_STD).view(3, 1, 1)
    bias, things_right = {}, {}
    for name, path in WEIGHTS.items():
        encoder = DenseImageEncoder(name, checkpoint=str(path)).eval()
        with torch.no_grad():
            maps = encoder.dense((pixels - mean) / std)
            tokenizer = build_tokenizer(name)
            texts = functional.normalize(clips[name].encode_text(tokenizer(list(CLASS_NAMES))), dim=-1)
        called_thing, right = [], []
        for scene, dense in zip(scenes, maps, strict=True):
            for number, label in enumerate(scene.segment_labels, start=1):
                share = torch.from_numpy(scene.segment_ids == number).float().view(8, 8, 8, 8).mean((1, 3))
                answer = int((texts @ (dense * share).sum((1, 2))).argmax())
                if label < 20:
                    right.append(answer == label)
                else:
                    called_thing.append(answer < 20)
        bias[name], things_right[name] = np.mean(called_thing), np.mean(right)
    assert bias[STUDENT_NAME] > 0.5
    assert bias[TEACHER_NAME] < bias[STUDENT_NAME] - 0.2
    assert min(things_right.values()) > 0.4
