import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict

from densevlm_mm.engine.hooks import CaptionHook
from densevlm_mm.models.clip import build_clip, build_tokenizer
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.structures import RegionDataSample

ASSETS = Path(__file__).resolve().parents[3] / "densevlm_mm/tiny_scenes/assets"
STUDENT, TEACHER = (str(ASSETS / f"tiny_scenes_{name}.safetensors") for name in ("student", "teacher"))
TEXTS = {1: ["a boat", "a kite and sea"], 2: ["a boat"], 4: ["grass", "a cow", "sky"]}


class Images:
    """A data set that knows its images; the third has no caption."""

    def __init__(self, ids: tuple = (1, 2, 3, 4), first: int = 1) -> None:
        self.infos = [dict(img_id=img_id, img_path=f"train/{number}.jpg") for number, img_id in enumerate(ids, first)]

    def __len__(self) -> int:
        return len(self.infos)

    def get_data_info(self, index: int) -> dict:
        return self.infos[index]


class TenBatches:
    def __init__(self, dataset: Images) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return 10


@pytest.fixture
def captions(tmp_path) -> str:
    images = [dict(id=img_id, file_name=f"{img_id}.jpg") for img_id in (1, 2, 3, 4)]
    annotations = [dict(image_id=img_id, caption=text) for img_id, texts in TEXTS.items() for text in texts]
    path = tmp_path / "captions.json"
    path.write_text(json.dumps(dict(images=images, annotations=annotations)))
    return str(path)


def start(hook: CaptionHook, images: Images | None = None, seed: int = 0, **encoder) -> SimpleNamespace:
    encoder = dict(type="DenseImageEncoder", checkpoint=STUDENT, trainable="blocks") | encoder
    runner = SimpleNamespace(
        model=RegionPretrainer(encoder, dict(type="RetentionLoss")),
        cfg=ConfigDict(model=dict(encoder=encoder)),
        train_dataloader=TenBatches(images or Images()),
        seed=seed,
    )
    hook.before_train(runner)
    return runner


def samples_of(hook: CaptionHook, runner: SimpleNamespace, images: Images | None = None, iteration: int = 0) -> list:
    runner.iter = iteration
    samples = [RegionDataSample(metainfo=dict(info, img_shape=(48, 64))) for info in (images or Images()).infos]
    hook.before_train_iter(runner, 0, dict(inputs=[torch.zeros(3, 64, 64)] * len(samples), data_samples=samples))
    return samples


def test_an_image_gets_one_of_its_captions_by_the_text_tower(captions) -> None:
    hook = CaptionHook(captions)
    samples = samples_of(hook, start(hook))
    assert [int(sample.caption_id) for sample in samples][1:3] == [0, -1]  # equal captions have one id
    clip, tokenizer = build_clip(None, STUDENT).eval(), build_tokenizer("TinyScenes-S")
    with torch.no_grad():
        for sample in samples:
            if sample.caption_id < 0:
                assert sample.caption_feature.abs().max() == 0
                continue
            expected = [
                torch.nn.functional.normalize(clip.encode_text(tokenizer([t]))[0], dim=0) for t in TEXTS[sample.img_id]
            ]
            cosines = torch.stack(expected) @ sample.caption_feature
            assert cosines.max().item() == pytest.approx(1, abs=1e-5)
    assert "view_norm_xyxy" not in samples[0]


def test_the_draw_follows_from_seed_epoch_and_image_alone(captions) -> None:
    hook = CaptionHook(captions)
    runner = start(hook)
    ids = {epoch: hook.draw(4, "train/4.jpg", epoch) for epoch in range(30)}
    assert len(set(ids.values())) == 3
    samples = samples_of(hook, runner, iteration=7 * 10 + 9)  # the last of epoch 7
    assert int(samples[3].caption_id) == ids[7]
    again, other = CaptionHook(captions), CaptionHook(captions, seed=1)
    start(again, seed=0)
    start(other)
    assert {epoch: again.draw(4, "elsewhere/4.jpg", epoch) for epoch in range(30)} == ids
    assert {epoch: other.draw(4, "train/4.jpg", epoch) for epoch in range(30)} != ids


def test_images_with_other_ids_are_found_by_their_file_names(captions) -> None:
    hook, images = CaptionHook(captions), Images(("1.jpg", "2.jpg", "3.jpg", "4.jpg"))
    samples = samples_of(hook, start(hook, images), images)
    assert [int(sample.caption_id) for sample in samples][1:3] == [0, -1]


def test_without_a_retention_hook_it_writes_the_views(captions) -> None:
    hook = CaptionHook(captions, view="centre")
    assert "view_norm_xyxy" in hook.image_targets
    samples = samples_of(hook, start(hook))
    assert samples[0].view_norm_xyxy.tolist() == [0.125, 0, 0.875, 0.75]


def test_what_is_wrong_is_said_before_the_first_step(captions, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        start(CaptionHook(str(tmp_path / "gone.json")))
    with pytest.raises(ValueError, match="has no caption of the training images: its images are called 1"):
        start(CaptionHook(captions), Images((11, 12), first=11))
    with pytest.raises(ValueError, match=r"image 2 is 1\.jpg in the training data and 2\.jpg in"):
        start(CaptionHook(captions), Images((2, 1)))
    with pytest.raises(ValueError, match=r"trainable='none'"):
        start(CaptionHook(captions), trainable="none")
    with pytest.raises(ValueError, match=r"text tower of TinyScenes-T does not share a space with .*TinyScenes-S"):
        start(CaptionHook(captions, text_tower=dict(model_name="TinyScenes-T", checkpoint=TEACHER)))
    with pytest.raises(ValueError, match="drawn anew"):
        start(CaptionHook(captions), model_name="TinyScenes-S", checkpoint="random")


@pytest.mark.parametrize(
    ("options", "named"),
    [(dict(view="left"), "'left'"), (dict(seed=-1), "seed"), (dict(text_tower=dict(model="x")), "text_tower")],
)
def test_wrong_arguments_are_named(options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        CaptionHook("captions.json", **options)
