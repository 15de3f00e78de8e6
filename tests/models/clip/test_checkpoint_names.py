import pytest

from densevlm_mm.models.clip.checkpoint_names import CheckpointName


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("open_clip:openai", "tag", "openai"),
        ("hf-hub:timm/vit", "hub", "timm/vit"),
        ("local-dir:weights/siglip", "folder", "weights/siglip"),
        ("https://host/a.pt", "url", "https://host/a.pt"),
        ("http://host/a.pt", "url", "http://host/a.pt"),
        ("random", "random", "random"),
        ("weights/random", "file", "weights/random"),
        ("openai", "file", "openai"),
        ("C:/weights/a.pt", "file", "C:/weights/a.pt"),
    ],
)
def test_every_form_is_told_by_its_prefix(text, kind, value):
    name = CheckpointName.parse(text)
    assert (name.kind, name.value) == (kind, value)
    assert CheckpointName.parse(str(name)).value == value
    assert name.is_local == (kind in ("file", "folder"))


def test_a_folder_is_told_from_a_file(tmp_path):
    assert CheckpointName.parse(tmp_path).kind == "folder"
    assert CheckpointName.parse(tmp_path).exists()
    assert not CheckpointName.parse(tmp_path / "none.pt").exists()
    assert CheckpointName.parse("open_clip:openai").exists()


@pytest.mark.parametrize("text", ["", "open_clip:", "hf-hub:", "local-dir:"])
def test_an_empty_name_is_refused(text):
    with pytest.raises(ValueError, match="'open_clip:<tag>'"):
        CheckpointName.parse(text)
