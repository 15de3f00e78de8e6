import io
import zipfile
from dataclasses import replace

import pytest
from mmengine.config import Config

from densevlm_mm.apis.experiment_downloads import fetch_experiment, fetch_names, named_downloads
from densevlm_mm.downloads import known_downloads, table


@pytest.fixture
def served(file_server, monkeypatch) -> None:
    """COCO's validation images and OpenAI's weights, small and on this machine; the rest is out of reach."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("val2017/000000000139.jpg", b"jpeg")
    file_server.files = {"/val2017.zip": buffer.getvalue(), "/ViT-B-16.pt": b"weights"}
    known = {
        name: replace(
            entry,
            hub="",
            url=f"{file_server.address}/{(entry.url or entry.name).rsplit('/', 1)[-1]}" if entry.is_fetchable else "",
            size=None,
            sha256=None,
        )
        for name, entry in known_downloads().items()
    }
    monkeypatch.setattr(table, "known_downloads", lambda: known)
    monkeypatch.setattr("densevlm_mm.apis.experiment_downloads.known_downloads", lambda: known)


def experiment(root) -> Config:
    cfg = Config(
        dict(
            model=dict(encoder=dict(model_name="ViT-B-16", checkpoint=str(root / "weights/ViT-B-16.pt"))),
            train_dataloader=dict(
                dataset=dict(data_root=str(root), source="my_images.txt", data_prefix=dict(img="val2017"))
            ),
            val_dataloader=dict(dataset=dict(data_root=str(root), ann_file="objects365_val.json")),
            test_dataloader=dict(dataset=dict(data_root=str(root), ann_file="lvis_v1_val.json")),
        )
    )
    cfg._filename = "experiment.py"
    return cfg


def test_what_a_config_needs_goes_where_it_looks_and_the_rest_is_listed(served, tmp_path) -> None:
    outcome = fetch_experiment(experiment(tmp_path), tmp_path / "archives")
    assert (tmp_path / "val2017/000000000139.jpg").read_bytes() == b"jpeg"
    assert (tmp_path / "weights/ViT-B-16.pt").read_bytes() == b"weights"
    assert set(outcome.fetched) == {str(tmp_path / "val2017"), str(tmp_path / "weights/ViT-B-16.pt")}
    report = outcome.report()
    assert "3 not fetched" in report
    assert "get it: https://www.objects365.org" in report
    assert "the server says 404" in report
    assert "take out of it: lvis_v1_val.json" in report
    assert "nothing is known of a file of this name" in outcome.left[str(tmp_path / "my_images.txt")][1]


def test_a_second_time_only_what_is_missing_is_asked_for(served, file_server, tmp_path) -> None:
    fetch_experiment(experiment(tmp_path), tmp_path / "archives")
    file_server.requests.clear()
    fetch_experiment(experiment(tmp_path), tmp_path / "archives")
    assert [path for _, path, _ in file_server.requests] == ["/lvis_v1_val.json.zip"]


def test_names_go_to_the_paths_of_the_configs(served, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = fetch_names(named_downloads(["ViT-B-16.pt", "val2017"]), "archives")
    assert outcome.left == {}
    assert (tmp_path / "weights/ViT-B-16.pt").is_file()
    assert (tmp_path / "data/coco/val2017/000000000139.jpg").is_file()
    assert fetch_names(named_downloads(["val2017"]), "archives").fetched == ["data/coco/val2017 (was there)"]


def test_steps_that_are_left_are_named(served, file_server, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("val2017/1.png", b"")
    file_server.files["/stuffthingmaps_trainval2017.zip"] = buffer.getvalue()
    report = fetch_names(named_downloads(["stuffthingmaps/val2017"]), "archives").report()
    assert "then run: python tools/dataset_converters/coco_stuff164k.py data/coco" in report


def test_an_unknown_name_names_similar_ones() -> None:
    with pytest.raises(KeyError, match=r"'val_2017'; .*val2017"):
        named_downloads(["val_2017"])


def test_weights_by_tag_are_fetched_by_open_clip(tmp_path, monkeypatch) -> None:
    cfg = Config(dict(model=dict(encoder=dict(model_name="ViT-B-16", checkpoint="open_clip:openai"))))
    asked = []

    def locate(model_name, checkpoint):
        asked.append((model_name, checkpoint))
        raise FileNotFoundError("no network")

    monkeypatch.setattr("densevlm_mm.apis.experiment_downloads.locate_checkpoint", locate)
    outcome = fetch_experiment(cfg, tmp_path)
    assert asked == [("ViT-B-16", "open_clip:openai")]
    assert "openaipublic" in outcome.left["open_clip:openai"][0]
