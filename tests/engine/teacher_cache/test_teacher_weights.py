from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from densevlm_mm.engine.teacher_cache import facts_of_config, facts_of_module
from densevlm_mm.registry import MODELS

WEIGHTS = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
CONFIG = dict(type="DenseImageEncoder", model_name="TinyScenes-S", checkpoint=WEIGHTS)


def test_a_checkpoint_file_tells_the_weights_wherever_it_lies(tmp_path) -> None:
    facts = facts_of_config(CONFIG, tmp_path)
    (tmp_path / "copy.safetensors").write_bytes(Path(WEIGHTS).read_bytes())
    copied = dict(
        CONFIG, checkpoint=str(tmp_path / "copy.safetensors"), image_size=96, type="densevlm_mm.DenseImageEncoder"
    )
    assert facts_of_config(copied, tmp_path) == facts
    assert facts_of_config(dict(CONFIG, dense_residual="cls"), tmp_path) != facts
    weights = load_file(WEIGHTS)
    name = "visual.trunk.blocks.0.mlp.fc1.weight"
    weights[name][0, 0] = torch.nextafter(weights[name][0, 0], torch.tensor(torch.inf))
    save_file(weights, tmp_path / "copy.safetensors")
    assert facts_of_config(copied, tmp_path) != facts


def test_other_teachers_must_be_built(tmp_path) -> None:
    for cfg in (dict(CONFIG, checkpoint="random"), dict(type="Linear"), dict(CONFIG, checkpoint=None)):
        assert facts_of_config(cfg, tmp_path) is None


def test_a_built_teacher_is_told_by_its_tensors_and_arguments() -> None:
    teachers = [MODELS.build(CONFIG) for _ in range(2)]
    facts = [facts_of_module(teacher, CONFIG) for teacher in teachers]
    assert facts[0] == facts[1]
    assert facts_of_module(teachers[0], dict(CONFIG, dense_residual="cls")) != facts[0]
    with torch.no_grad():
        next(teachers[1].parameters()).flatten()[0] += 1e-3
    assert facts_of_module(teachers[1], CONFIG) != facts[0]


def test_the_teachers_dense_path_counts_wherever_it_is_said(tmp_path) -> None:
    values = dict(CONFIG, dense_path=dict(type="values", layers=2))
    assert facts_of_config(values, tmp_path) != facts_of_config(CONFIG, tmp_path)
    plain, by_argument = MODELS.build(CONFIG), MODELS.build(values)
    # Of a checkpoint that says its path the config does not have to.
    assert facts_of_module(by_argument, CONFIG) != facts_of_module(plain, CONFIG)
    assert facts_of_module(by_argument, CONFIG) == facts_of_module(by_argument, CONFIG)
