"""Every pretraining config can be read, and what it names exists and fits together."""

import json
import re
from functools import cache
from pathlib import Path

import open_clip
import pytest
import torch
from braceexpand import braceexpand
from mmengine.config import Config
from open_clip.pretrained import get_pretrained_cfg

from densevlm_mm.datasets.shards import index_shards
from densevlm_mm.models.clip.architecture import resolve_architecture
from densevlm_mm.models.encoders.towers import adapter_for
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.registry import DATASETS, HOOKS, MODELS
from densevlm_mm.vocabulary import Vocabulary
from tests.fixtures.shards import write_shards

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("densevlm", "clipself", "region_clip", "retention", "correlation", "values", "tiny")
SA1B = {"100k": 9, "1.1m": 100, "5.5m": 500}  # shards
OTHER_MODELS = ("fvit", "cat_seg", "san")  # of configs/tiny
CONFIGS = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / "configs" / folder).glob("*.py")
    if not path.stem.startswith(OTHER_MODELS)
)


@cache
def load(path: Path) -> Config:
    return Config.fromfile(str(path))


@pytest.fixture(scope="module")
def strides() -> dict[str, int]:
    return {}


def stride_of(model_name: str, known: dict[str, int]) -> int:
    if model_name not in known:
        with torch.device("meta"):
            known[model_name] = adapter_for(resolve_architecture(model_name).build_visual()).stride
    return known[model_name]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_config_names_what_exists(path: Path, strides: dict[str, int]) -> None:
    cfg = load(path)
    hook = cfg.default_hooks.teacher
    teacher = hook.get("teacher")  # none where labels come with the regions
    for encoder in filter(None, (cfg.model.encoder, teacher)):
        assert encoder.model_name in open_clip.list_models()
        if encoder.checkpoint.startswith("open_clip:"):
            assert get_pretrained_cfg(encoder.model_name, encoder.checkpoint.removeprefix("open_clip:"))
    vocabularies = [
        cfg.model[key].vocabulary for key in ("class_embeddings", "test_class_embeddings") if key in cfg.model
    ]
    for name in vocabularies:
        if path.stem != "pretrain_coco_set_from_images":  # whose list a user makes
            assert Vocabulary.load(name).is_thing is not None

    stride = stride_of(cfg.model.encoder.model_name, strides)
    for pipeline in (cfg.train_dataloader.dataset.dataset.pipeline, cfg.val_dataloader.dataset.pipeline):
        steps = {step.type: step for step in pipeline}
        assert steps["ResizeLongestSide"].size == steps["PadToSquare"].size
        if "LoadPanopticRegions" in steps:
            assert steps["LoadPanopticRegions"].feature_stride == stride
        if "GridRegions" in steps and path.parent.name == "densevlm":
            assert steps["PadToSquare"].size % stride == 0
    assert cfg.val_dataloader == cfg.test_dataloader
    assert cfg.val_dataloader.dataset.vocabulary in vocabularies

    teacher_size = hook.get("input_size")
    if teacher_size is not None:
        assert teacher_size % stride_of(teacher.model_name, strides) == 0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_hook_writes_what_the_loss_asks_for(path: Path) -> None:
    cfg = load(path)
    hook, loss = cfg.default_hooks.teacher, dict(cfg.model.loss)
    dataset = cfg.train_dataloader.dataset.dataset
    regions = {step.type for step in dataset.pipeline} & {"GridRegions", "ProposalRegions"}
    assert regions == {"ProposalRegions" if dataset.type == "RegionProposalDataset" else "GridRegions"}
    asked = set(MODELS.get(loss.pop("type")).inputs)
    provided = {*RegionPretrainer.model_inputs, *RegionPretrainer.batch_inputs}
    assert asked - provided <= set(HOOKS.build(hook).region_targets)
    assert hook.type != "RegionLabelHook" or dataset.type == "RegionProposalDataset"
    projection = loss.get("projection")
    if hook.type == "CropTeacherHook" and "teacher_features" in asked:
        names = cfg.model.encoder.model_name, hook.teacher.model_name
        widths = tuple(open_clip.get_model_config(name)["embed_dim"] for name in names)
        assert (widths == tuple(projection)) if projection else (names[0] == names[1])


def test_rows_of_table_3_are_four() -> None:
    names = ("pretrain_coco_row1", "pretrain_coco_row2", "pretrain_coco_row3", "pretrain_coco")
    losses = [load(ROOT / f"configs/densevlm/{name}.py").model.loss for name in names]
    assert {loss.reduction for loss in losses} == {"image"}
    assert [(loss.thing_contrast, loss.stuff_contrast) for loss in losses] == [
        ("all", "all"), ("things", "stuff"), ("all", "stuff"), ("things", "all"),
    ]  # fmt: skip


@pytest.mark.parametrize("config", ["clipself/crop_logits_coco_eva02_b16", "tiny/crop_logits"])
def test_logits_of_crops_are_learned_without_decoupling(config: str) -> None:
    loss = load(ROOT / f"configs/{config}.py").model.loss
    assert (loss.thing_contrast, loss.stuff_contrast) == ("all", "all")


def test_image_sizes_are_those_of_training_and_evaluation() -> None:
    names = {path.stem: path for path in CONFIGS if re.fullmatch(r"pretrain_coco_\d+px", path.stem)}
    names["pretrain_coco_512px"] = ROOT / "configs/densevlm/pretrain_coco.py"
    assert set(names) == {f"pretrain_coco_{size}px" for size in (224, 320, 512, 768, 1024)}
    for name, path in names.items():
        size = int(re.search(r"\d+", name)[0])
        cfg = load(path)
        for dataset in (cfg.train_dataloader.dataset.dataset, cfg.val_dataloader.dataset, cfg.test_dataloader.dataset):
            assert [step.size for step in dataset.pipeline if "size" in step] == [size, size]
        assert size - 7 <= cfg.default_hooks.teacher.input_size <= size + 7


def test_teachers_of_table_5_are_both_refined() -> None:
    teachers = {
        stem: load(ROOT / f"configs/densevlm/{stem}.py").default_hooks.teacher.teacher
        for stem in ("pretrain_coco", "pretrain_coco_teacher_b16")
    }
    assert [teacher.model_name for teacher in teachers.values()] == ["EVA02-L-14-336", "EVA02-B-16"]
    assert all("clipself" in teacher.checkpoint for teacher in teachers.values())


def test_dataset_vocabulary_is_the_one_regions_are_classified_into() -> None:
    for path in CONFIGS:
        cfg = load(path)
        tested = cfg.model.get("test_class_embeddings") or cfg.model.class_embeddings
        assert tested.vocabulary == cfg.test_dataloader.dataset.vocabulary, path


def test_published_config_reads_its_oddities() -> None:
    cfg = load(ROOT / "configs/densevlm/pretrain_coco_published.py")
    embeddings = cfg.model.class_embeddings
    assert Vocabulary.load(embeddings.vocabulary).with_num_things(embeddings.num_things).num_things == 203
    assert embeddings.normalization == "prompt"
    assert cfg.model.loss.reduction == "group"
    assert tuple(cfg.train_dataloader.sampler.shard) == (0, 4)
    assert cfg.default_hooks.teacher.teacher.checkpoint.endswith("clipself_coco_6_save6_512_eva_vitl14_24layers.pt")
    for dataset in (cfg.train_dataloader.dataset.dataset, cfg.test_dataloader.dataset):
        assert [step.antialias for step in dataset.pipeline if step.type == "ResizeLongestSide"] == [False]


def test_coco_is_listed_by_its_folder_or_by_its_json(tmp_path: Path) -> None:
    cfg = load(ROOT / "configs/densevlm/pretrain_coco.py")
    (tmp_path / "train2017").mkdir()
    for name in ("000000000025.jpg", "000000000009.jpg"):
        (tmp_path / "train2017" / name).touch()
    images = [dict(id=25, file_name="000000000025.jpg"), dict(id=9, file_name="000000000009.jpg")]
    (tmp_path / "images.json").write_text(json.dumps(dict(images=images)))
    node = dict(cfg.train_dataloader.dataset.dataset, data_root=str(tmp_path))
    option = dict(source="images.json", data_prefix=dict(img="train2017"))  # as the config's comment says
    for changes, ids in (({}, ["000000000009.jpg", "000000000025.jpg"]), (option, [25, 9])):
        dataset = DATASETS.build(node | changes)
        assert [dataset.get_data_info(index)["img_id"] for index in range(2)] == ids
        assert {Path(dataset.get_data_info(index)["img_path"]).name for index in range(2)} == set(
            each["file_name"] for each in images
        )


def test_configs_of_sa1b_take_so_many_of_its_shards(tmp_path: Path) -> None:
    write_shards(tmp_path, [2] * 10)
    index_shards([str(tmp_path / "*.tar")], tmp_path / "shards.json")
    loaders = {name: load(ROOT / f"configs/densevlm/pretrain_sa1b_{name}.py").train_dataloader for name in SA1B}
    for name, loader in loaders.items():
        assert len(list(braceexpand(loader.dataset.dataset.shards))) == SA1B[name]
        assert (loader.batch_size, loader.sampler.type) == (48, "ShardSampler")
    wrapper = loaders["100k"].dataset
    images = DATASETS.build(dict(wrapper, dataset=dict(wrapper.dataset, data_root=str(tmp_path))))
    assert len(images) == 18
    assert images[17]["inputs"].shape == (3, 512, 512)


def test_page_of_the_published_run_says_what_the_configs_hold() -> None:
    rows = re.findall(r"^\| (.+?) \|(.*?)\|(.*?)\|(.*?)\|$", (ROOT / "docs/published_run.md").read_text(), re.MULTILINE)
    page = {point: (ours, published) for point, _, ours, published in rows}
    ours, published = (
        load(ROOT / f"configs/densevlm/{name}.py") for name in ("pretrain_coco", "pretrain_coco_published")
    )
    grid = ours.train_dataloader.dataset.dataset.pipeline[2]
    stated = {
        "weight ensemble": (f"WeightEnsembleHook(alpha={ours.default_hooks.weight_ensemble.alpha})", "the same"),
        "learning rate": (f"{ours.optim_wrapper.optimizer.lr:.0e}".replace("e-0", "e-"), ""),
        "batch": (f"4 GPUs x {ours.train_dataloader.batch_size}", "4 GPUs x 16"),
        "gradients": ("averaged", f"shard={tuple(published.train_dataloader.sampler.shard)}"),
        "Adam's beta2": (f"{ours.optim_wrapper.optimizer.betas[1]}", f"{published.optim_wrapper.optimizer.betas[1]}"),
        "grid": (f"mode='{grid.mode}'", "balanced"),
        "reduction of the loss": (f"'{ours.model.loss.reduction}'", f"'{published.model.loss.reduction}'"),
        "things of the 316 categories": (
            str(Vocabulary.load(ours.model.class_embeddings.vocabulary).num_things),
            f"num_things={published.model.class_embeddings.num_things}",
        ),
        "class embeddings for training": ("unit norm", f"'{published.model.class_embeddings.normalization}'"),
        "teacher input at patch 14": (
            f"{ours.default_hooks.teacher.input_size} pixels",
            f"input_size={published.default_hooks.teacher.input_size}",
        ),
    }
    for point, (default, oddity) in stated.items():
        assert default in page[point][0], point
        assert oddity in page[point][1], point
