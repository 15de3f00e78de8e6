from pathlib import Path

import pytest
from mmengine.config import Config
from mmseg.registry import MODELS

import densevlm_mm.detection
import densevlm_mm.segmentation  # noqa: F401
from densevlm_mm.apis import names_of_arguments, use_vocabulary

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def names(tmp_path: Path) -> str:
    path = tmp_path / "names.txt"
    path.write_text("boat\ncow\nfishing boat\n")
    return str(path)


def test_detector_gets_other_columns_and_untrained_names_are_novel(names) -> None:
    cfg = Config.fromfile(str(ROOT / "configs/tiny/fvit_original.py"))
    use_vocabulary(cfg, names)
    head = cfg.model.roi_head.bbox_head
    assert head.class_embeddings.vocabulary == names
    assert head.class_embeddings.extra_classes == ("background",)
    assert head.num_classes == 3
    assert head.novel_classes == ("cow", "fishing boat")  # cow is in the trained vocabulary, as a novel class


@pytest.mark.parametrize("spellings", [["boat", "kite", "cow"], ["Boat", "KITE", "Cow"], ["boat.", "kite.", "cow."]])
def test_the_same_names_are_base_however_they_are_spelled(spellings: list[str]) -> None:
    cfg = Config.fromfile(str(ROOT / "configs/tiny/fvit_original.py"))
    use_vocabulary(cfg, spellings)
    assert cfg.model.roi_head.bbox_head.novel_classes == (spellings[2],)


def test_cat_seg_keeps_its_training_vocabulary(names) -> None:
    cfg = Config.fromfile(str(ROOT / "configs/tiny/cat_seg_original.py"))
    trained = cfg.model.vocabulary
    use_vocabulary(cfg, names)
    assert cfg.model.test_vocabulary == names
    assert cfg.model.vocabulary == trained
    assert len(trained) == 24


def test_san_keeps_its_training_vocabulary(names) -> None:
    options = dict(vocabulary="coco_stuff_171", templates="vild")
    model = dict(type="OpenVocabularySAN", class_embeddings=options, test_class_embeddings=None)
    cfg = Config(dict(default_scope="mmseg", model=model))
    use_vocabulary(cfg, names)
    assert cfg.model.class_embeddings.vocabulary == "coco_stuff_171"
    assert dict(cfg.model.test_class_embeddings) == dict(vocabulary=names, templates="vild")


@pytest.mark.parametrize(
    ("scope", "model", "message"),
    [
        ("mmdet", dict(type="FasterRCNN", roi_head=dict(bbox_head=dict())), "no vocabulary, its classes are fixed"),
        ("mmdet", dict(type="Unknown"), "no vocabulary, its classes are fixed"),
        ("mmseg", dict(type="OpenVocabularySAN", class_embeddings=dict(file="x.npz")), "is a file of embeddings"),
        ("mmdet", dict(type="FViT", roi_head=dict(bbox_head=dict(class_embeddings="x"))), "is a file of embeddings"),
    ],
)
def test_models_without_a_vocabulary_are_refused(names, scope, model, message) -> None:
    with pytest.raises(ValueError, match=message):
        use_vocabulary(Config(dict(default_scope=scope, model=model)), names)


def test_any_model_that_follows_the_protocol_takes_names(names) -> None:
    @MODELS.register_module()
    class SomebodysSegmentor:
        def training_classes(self) -> tuple[str, ...]: ...

        def predicted_classes(self) -> tuple[str, ...]: ...

        def vocabulary_facts(self) -> dict: ...

        def set_vocabulary(self, vocabulary) -> None: ...

        @classmethod
        def use_vocabulary(cls, cfg, vocabulary) -> None:
            cfg.words = vocabulary

    cfg = Config(dict(default_scope="mmseg", model=dict(type="SomebodysSegmentor")))
    use_vocabulary(cfg, names)
    assert cfg.model.words == names


def test_names_of_a_command_line_are_one_an_argument() -> None:
    assert names_of_arguments(["boat", "#1 ship", "bat (wood, old)"]) == ["boat", "#1 ship", "bat (wood, old)"]
    with pytest.raises(ValueError, match=r"--names: 'boat, car, cow' is 3 names.*give one name an argument"):
        names_of_arguments(["boat, car, cow"])
