from report.pictures import page_pictures
from report.settings import Settings


def test_every_picture_is_there_and_explained(settings: Settings, invented) -> None:
    pictures = page_pictures(invented(settings))
    assert len({picture.path for picture in pictures}) == len(pictures) == 9
    for picture in pictures:
        assert (settings.folder("") / picture.path).is_file()
        assert picture.caption


def test_pictures_of_lost_tasks_are_left_out(settings: Settings, invented) -> None:
    pictures = page_pictures(invented(settings, lost=("pictures/confusion_matrix", "runs/seed0/row4/test")))
    paths = {picture.path for picture in pictures}
    assert "pictures/glance.png" in paths
    assert "pictures/predictions.png" not in paths
    assert not any("confusion" in path for path in paths)
