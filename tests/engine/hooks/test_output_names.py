import os
from pathlib import Path
from types import SimpleNamespace

from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.structures import BaseDataElement

from densevlm_mm.datasets import SeededDataset
from densevlm_mm.engine.hooks import OutputNameHook
from densevlm_mm.engine.hooks.output_names import dataset_output_names


class Images(BaseDataset):
    """Files of a folder, as a data set of either family lists them."""

    def __init__(self, root: str, names: list[str], **prefix: str) -> None:
        self.names = names
        super().__init__(data_root=root, data_prefix=prefix, serialize_data=False)

    def load_data_list(self) -> list[dict]:
        (folder,) = self.data_prefix.values()
        return [dict(img_path=os.path.join(folder, name)) for name in self.names]


def test_names_follow_the_path_below_the_folder_of_images() -> None:
    names = ["cam1/0001.png", "cam2/0001.png"]
    for dataset in (Images("data", names, img="val"), Images("data", names, img_path="val")):
        assert dataset_output_names(SeededDataset(dataset)) == {
            "data/val/cam1/0001.png": "cam1/0001",
            "data/val/cam2/0001.png": "cam2/0001",
        }


def test_data_sets_side_by_side_keep_their_folders() -> None:
    parts = [Images("city", ["1.jpg"], img="val"), Images("farm", ["1.jpg"], img="val")]
    assert list(dataset_output_names(ConcatDataset(parts)).values()) == ["city/val/1", "farm/val/1"]


def test_all_views_of_an_image_have_its_name_and_strangers_none() -> None:
    dataset = Images("data", ["a/1.jpg", "b/1.jpg"], img="")
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    views = [[BaseDataElement(metainfo=dict(img_path=f"data/{n}/1.jpg")) for n in "ab"] for _ in range(2)]
    stranger = BaseDataElement(metainfo=dict(img_path=str(Path("other/1.jpg"))))
    hook = OutputNameHook()
    hook.before_test_iter(runner, 0, dict(data_samples=views))  # test-time augmentation: a list a view
    hook.before_test_iter(runner, 1, dict(data_samples=[stranger]))
    assert [[view.output_name for view in each] for each in views] == [["a/1", "b/1"]] * 2
    assert "output_name" not in stranger


def test_a_data_set_that_lists_no_images_has_no_names() -> None:
    assert dataset_output_names([1, 2]) == {}
