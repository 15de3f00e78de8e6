import pytest
from mmengine.config import Config

from densevlm_mm.apis import MissingInputsError, check_inputs


def experiment(root, **model) -> Config:
    loader = dict(
        dataset=dict(
            type="SeededDataset", dataset=dict(data_root=str(root), source="list.txt", data_prefix=dict(img="images"))
        )
    )
    cfg = Config(
        dict(
            model=dict(encoder=dict(checkpoint=str(root / "ViT-B-16.pt")), **model),
            train_dataloader=loader,
            val_dataloader=dict(dataset=dict(datasets=[dict(data_root=str(root), ann_file="val2017.json")])),
            test_dataloader=None,
            default_hooks=dict(teacher=dict(teacher=dict(checkpoint=str(root / "teacher.pt")))),
        )
    )
    cfg._filename = "experiment.py"
    return cfg


def test_everything_missing_is_listed_at_once(tmp_path) -> None:
    with pytest.raises(MissingInputsError) as error:
        check_inputs(experiment(tmp_path), "train")
    message = str(error.value)
    for name in ("list.txt", "images", "val2017.json", "ViT-B-16.pt", "teacher.pt"):
        assert str(tmp_path / name) in message
    assert "(model.encoder.checkpoint)" in message
    assert "OpenAI CLIP ViT-B/16" in message  # what it is
    assert "openaipublic" in message  # where to get it
    assert "python tools/download.py --for" in message  # or let a tool get it


def test_weights_that_moved_are_named(tmp_path) -> None:
    """TinyScenes' own lie in the package; a user's may lie one folder aside."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "teacher.pt").touch()
    cfg = experiment(tmp_path)
    cfg.model.encoder.checkpoint = str(tmp_path / "tiny_scenes_student.safetensors")
    with pytest.raises(MissingInputsError) as error:
        check_inputs(cfg, "train")
    lines = {line.split()[0]: line for line in str(error.value).splitlines() if line.startswith("  /")}
    assert "tiny_scenes/assets/tiny_scenes_student.safetensors?)" in lines[cfg.model.encoder.checkpoint]
    assert f"did you mean {tmp_path / 'runs' / 'teacher.pt'}?)" in lines[str(tmp_path / "teacher.pt")]


def test_the_longest_known_end_of_a_path_says_what_it_is(tmp_path) -> None:
    """Label maps are in a folder called as that of the images."""
    cfg = experiment(tmp_path)
    prefix = dict(img_path="train2017", seg_map_path="stuffthingmaps/train2017")
    cfg.train_dataloader = dict(dataset=dict(data_root=str(tmp_path), data_prefix=prefix))
    with pytest.raises(MissingInputsError) as error:
        check_inputs(cfg, "train")
    maps = str(error.value).split(str(tmp_path / "stuffthingmaps/train2017"))[1]
    assert "COCO-Stuff label maps" in maps.splitlines()[1]


def test_missing_class_embeddings_come_with_their_command(tmp_path) -> None:
    head = dict(
        class_embeddings=dict(file=str(tmp_path / "e.safetensors"), vocabulary="ov_coco_65", model_name="EVA02-B-16")
    )
    with pytest.raises(MissingInputsError) as error:
        check_inputs(experiment(tmp_path, roi_head=dict(bbox_head=head)), "test")
    assert "python tools/build_class_embeddings.py ov_coco_65 --model EVA02-B-16" in str(error.value)
    assert f"--out {tmp_path / 'e.safetensors'}" in str(error.value)


def test_complete_inputs_pass_and_testing_needs_no_teacher(tmp_path) -> None:
    (tmp_path / "ViT-B-16.pt").touch()
    check_inputs(experiment(tmp_path), "test")
    for name in ("list.txt", "images", "val2017.json", "teacher.pt"):
        (tmp_path / name).touch()
    check_inputs(experiment(tmp_path), "train")


def test_names_that_are_no_files_are_left_to_the_loader(tmp_path) -> None:
    cfg = experiment(tmp_path)
    for name in ("random", "open_clip:openai", "hf-hub:timm/x"):
        cfg.model.encoder.checkpoint = name
        check_inputs(cfg, "test")


def test_the_file_of_regions_is_looked_for(tmp_path) -> None:
    cfg = experiment(tmp_path)
    cfg.train_dataloader.dataset.dataset.region_file = "pseudo_labels_train2017.json"
    with pytest.raises(MissingInputsError, match=r"(?s)pseudo_labels_train2017\.json.*tools/pseudo_labels\.py"):
        check_inputs(cfg, "train")


def test_the_file_of_captions_is_looked_for(tmp_path) -> None:
    cfg = experiment(tmp_path)
    cfg.default_hooks.captions = dict(captions=str(tmp_path / "captions_train2017.json"))
    with pytest.raises(MissingInputsError, match=r"captions_train2017\.json +\(default_hooks\.captions\.captions\)"):
        check_inputs(cfg, "train")


def test_the_file_of_a_vocabulary_is_looked_for_before_training(tmp_path) -> None:
    cfg = experiment(
        tmp_path,
        class_embeddings=dict(vocabulary=str(tmp_path / "set_from_images.json")),
        test_class_embeddings=dict(vocabulary="coco_panoptic_133"),
    )
    (tmp_path / "ViT-B-16.pt").touch()
    check_inputs(cfg, "test")  # which reads the packaged one
    with pytest.raises(MissingInputsError, match=r"(?s)set_from_images\.json.*tools/build_vocabulary\.py"):
        check_inputs(cfg, "train")


def test_class_embeddings_given_as_a_file_are_looked_for(tmp_path) -> None:
    cfg = experiment(tmp_path, class_embeddings=dict(file=str(tmp_path / "set.safetensors")))
    with pytest.raises(MissingInputsError, match=r"set\.safetensors"):
        check_inputs(cfg, "test")


def test_class_embeddings_that_only_a_training_reads_are_not_looked_for_in_a_test(tmp_path) -> None:
    (tmp_path / "ViT-B-16.pt").touch()
    training, test = dict(file=str(tmp_path / "set.safetensors")), dict(vocabulary="coco_panoptic_133")
    cfg = experiment(tmp_path, class_embeddings=training, test_class_embeddings=test)
    check_inputs(cfg, "test")
    with pytest.raises(MissingInputsError, match=r"set\.safetensors"):
        check_inputs(cfg, "train")
