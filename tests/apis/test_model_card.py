import json

import huggingface_hub
import pytest
import torch
import yaml

from densevlm_mm.apis.model_card import model_card, push_to_hub, read_config_text, read_results, write_card
from densevlm_mm.apis.model_card import training_facts as facts_of

CONFIG = """
default_hooks = dict(
    teacher=dict(
        teacher=dict(checkpoint='/home/me/weights/teacher.pt', model_name='EVA02-L-14-336'),
        type='RegionRetrievalHook'))
model = dict(
    class_embeddings=dict(vocabulary='set_316'),
    loss=dict(type='densevlm_mm.DecoupledAlignmentLoss', threshold=-0.3))
train_dataloader = dict(
    dataset=dict(
        dataset=dict(data_root='data/coco', source='train2017', pipeline=[dict(type='LoadImage')]),
        type='SeededDataset'))
evil = __import__('os').system('touch evil')
"""


@pytest.fixture
def checkpoint(tmp_path) -> str:
    meta = dict(cfg=CONFIG, iter=11088, seed=0)
    content = dict(state_dict={}, meta=meta, encoder=dict(checkpoint="weights/EVA02_CLIP_B_psz16_s8B.pt"))
    torch.save(content, tmp_path / "iter.pth")
    return str(tmp_path / "iter.pth")


def test_a_checkpoint_says_method_data_and_weights_without_this_machines_paths(checkpoint) -> None:
    assert facts_of(checkpoint) == {
        "initial weights": "weights/EVA02_CLIP_B_psz16_s8B.pt",
        "loss": "DecoupledAlignmentLoss",
        "teacher": "RegionRetrievalHook of teacher.pt",
        "categories": "set_316",
        "training data": "data/coco/train2017",
        "iterations": "11088",
        "seed": "0",
    }


def test_a_configs_source_is_read_and_not_run(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = read_config_text(CONFIG)
    assert cfg["model"]["loss"]["threshold"] == -0.3
    assert cfg["train_dataloader"]["dataset"]["dataset"]["pipeline"] == [{"type": "LoadImage"}]
    assert cfg["evil"] is None
    assert not (tmp_path / "evil").exists()
    assert read_config_text("no ( source") == {}


def test_the_card_has_the_hubs_header_the_facts_and_the_figures() -> None:
    results = dict(
        metrics=dict(
            boxes_top1=61.54, coherence_auc=0.8261, num_things=28, offset_control_offset=0.03, masks_s_top1=None
        ),
        evaluation=dict(
            checkpoint="/home/me/iter.pth", data="/home/me/panoptic_val2017.json", classes=dict(vocabulary="coco")
        ),
    )
    card = model_card("me/encoder", {"alpha": "0.9"}, results, "mit")
    _, header, body = card.split("---\n", 2)
    assert yaml.safe_load(header)["license"] == "mit"
    assert "| alpha | 0.9 |" in body
    assert "| boxes_top1 | 61.5 |" in body
    assert "| coherence_auc | 82.6 |" in body  # of a fraction
    assert "| data | panoptic_val2017.json |" in body
    assert "| classes | vocabulary coco |" in body
    assert 'DenseImageEncoder(checkpoint="hf-hub:me/encoder")' in body
    for absent in ("num_things", "masks_s_top1", "offset_control", "/home/me"):
        assert absent not in body


def test_a_card_that_is_there_is_a_persons(tmp_path) -> None:
    assert write_card(tmp_path, "ours")
    (tmp_path / "README.md").write_text("edited")
    assert not write_card(tmp_path, "ours")
    assert (tmp_path / "README.md").read_text() == "edited"


def test_files_that_hold_no_results_are_named(tmp_path) -> None:
    path = tmp_path / "test.json"
    with pytest.raises(FileNotFoundError, match=r"no file of results .*test\.json"):
        read_results(path)
    for text in ("{", "[]", json.dumps(dict(figures={}))):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"test\.json .*tools/test\.py --out FILE\.json"):
            read_results(path)


def test_only_what_belongs_to_the_weights_is_uploaded(tmp_path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(
        huggingface_hub.HfApi, "create_repo", lambda self, *args, **options: asked.append((*args, options))
    )
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", lambda self, **options: asked.append(options))
    address = push_to_hub(tmp_path / "open_clip_model.safetensors", "me/encoder", private=True)
    assert address == "https://huggingface.co/me/encoder"
    made, uploaded = asked
    assert made == ("me/encoder", dict(private=True, exist_ok=True))
    assert uploaded["folder_path"] == tmp_path
    assert uploaded["allow_patterns"] == ["open_clip_model.safetensors", "open_clip_config.json", "README.md"]


def test_a_refusal_is_one_line(tmp_path, monkeypatch) -> None:
    def refuse(*arguments, **options):
        raise RuntimeError("401 Client Error\nmore")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    with pytest.raises(OSError, match=r"^me/encoder could not be uploaded: 401 Client Error \(log in with"):
        push_to_hub(tmp_path / "w.safetensors", "me/encoder")
