from argparse import Namespace

import pytest

from densevlm_mm.analysis.command_line import file_stem, load_models, one_line_errors, parse_sources
from densevlm_mm.analysis.retention import embed_images, whole_image_loader


def test_names_become_parts_of_file_names() -> None:
    assert file_stem("work/iter_300 (best)") == "work_iter_300_best"
    assert file_stem("///") == "model"


def test_names_that_would_share_a_file_are_refused() -> None:
    with pytest.raises(ValueError, match="would be called 'a_b'"):
        parse_sources(["a b=x.pt", "a_b=y.pt"], "c.py")


def test_a_broken_image_in_a_loading_process_is_one_line(make_model, tmp_path) -> None:
    (tmp_path / "bad.png").write_text("not an image")
    model = make_model()
    loader = whole_image_loader(model, [str(tmp_path / "bad.png")], num_workers=1)
    with pytest.raises(SystemExit) as error, one_line_errors("retention.py"):
        embed_images(model.encoder, loader)
    message = str(error.value)
    assert message.startswith(f"tools/analysis_tools/retention.py: {tmp_path}/bad.png")
    assert "\n" not in message


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(SystemExit, match=r"^tools/analysis_tools/a\.py: b\nc$"), one_line_errors("a.py"):
        raise ValueError("b\nc")


def test_every_checkpoint_gets_the_config_that_it_names(world) -> None:
    assets = "densevlm_mm/tiny_scenes/assets/tiny_scenes"
    texts = [f"s={assets}_student.safetensors", f"t={assets}_teacher.safetensors@configs/tiny/teacher.py"]
    options = {"test_dataloader.dataset.data_root": str(world)}
    args = Namespace(config="configs/tiny/densevlm.py", cfg_options=options, device="cpu")
    student, teacher = load_models(texts, args)
    assert (student.name, teacher.name) == ("s", "t")
    assert teacher.cfg.model.encoder.model_name == "TinyScenes-T"
    assert teacher.cfg.test_dataloader.dataset.data_root == str(world)
