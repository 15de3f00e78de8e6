from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from densevlm_mm.inference import OpenVocabularyInferencer, Prediction, UnreadableImage
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.text import build_class_embeddings
from densevlm_mm.models.text import text_tower as text_tower_module
from tests.inference.conftest import TEACHER


def reference_cosines(bgr: np.ndarray, names: list[str]) -> torch.Tensor:
    """Cosines (T, h, w) of an image of the encoder's own size, by the parts alone."""
    encoder = DenseImageEncoder(checkpoint=TEACHER).eval()
    rgb = torch.from_numpy(np.ascontiguousarray(bgr[..., ::-1])).permute(2, 0, 1)[None]
    dense = encoder.dense(encoder.normalize(rgb))[0]
    text = build_class_embeddings(names, None, TEACHER, templates="tiny_scenes").embeddings
    return torch.einsum("td,dhw->thw", text, dense)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Address of a server of the temporary folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_an_encoder_alone_segments_by_the_nearest_text(see: OpenVocabularyInferencer, photos: Path) -> None:
    result = see(photos / "000001.jpg")
    bgr = cv2.imread(str(photos / "000001.jpg"))
    probabilities = (reference_cosines(bgr, list(see.classes)) / 0.01).softmax(dim=0)
    best, labels = interpolate(probabilities[None], (64, 64), mode="bilinear")[0].max(dim=0)
    np.testing.assert_array_equal(result.label_map, labels.numpy())
    np.testing.assert_array_equal(result.image, bgr[..., ::-1])
    assert result.masks.sum() == 64 * 64
    counts = [int((labels == see.classes.index(name)).sum()) for name in result.names]
    assert counts == sorted(counts, reverse=True)
    first = labels == see.classes.index(result.names[0])
    assert result.scores[0] == pytest.approx(float(best[first].mean()), abs=1e-5)


def test_files_arrays_pil_images_lists_folders_and_videos_are_the_same_images(
    see: OpenVocabularyInferencer, photos: Path, tmp_path: Path, served: str
) -> None:
    path = photos / "000002.jpg"
    bgr = cv2.imread(str(path))
    cv2.imwrite(str(tmp_path / "lossless.png"), bgr)
    rgb = Image.fromarray(np.ascontiguousarray(bgr[..., ::-1]))
    expected = see(tmp_path / "lossless.png").label_map
    for given in (bgr, rgb, str(tmp_path / "lossless.png"), f"{served}/lossless.png?size=1"):
        np.testing.assert_array_equal(see(given).label_map, expected)
    several = see([bgr, str(path), rgb])
    assert [type(each) for each in several] == [Prediction] * 3
    np.testing.assert_array_equal(several[2].label_map, expected)
    assert [Path(each.path).name for each in see(photos)] == [f"00000{n}.jpg" for n in (1, 2, 3, 4)]
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 5, (64, 64))
    for _ in range(3):
        writer.write(bgr)
    writer.release()
    frames = see(tmp_path / "a.mp4")
    assert [frame.path for frame in frames] == [f"{tmp_path}/a.mp4#{n}" for n in range(3)]


def test_a_batch_changes_nothing(see: OpenVocabularyInferencer, photos: Path, image: np.ndarray) -> None:
    given = [str(photos / "000001.jpg"), image, str(photos / "000002.jpg"), str(photos / "000003.jpg")]
    for one, batched in zip(see(given), see(given, batch_size=3), strict=True):
        assert one.path == batched.path
        assert (one.label_map == batched.label_map).mean() > 0.999


def test_windows_see_what_the_whole_sees_where_they_are_as_large(photos: Path) -> None:
    path = str(photos / "000001.jpg")
    whole, one = (OpenVocabularyInferencer(TEACHER, vocabulary=["sky", "sand"], window=w) for w in (None, 64))
    np.testing.assert_array_equal(one(path).label_map, whole(path).label_map)
    model = OpenVocabularyInferencer(TEACHER, vocabulary=["sky", "sand"], window=48).model
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = model.extract_feat(image)
    total, counts = torch.zeros(1, found.shape[1], 8, 8), torch.zeros(8, 8)
    for rows in (slice(0, 6), slice(2, 8)):
        for columns in (slice(0, 6), slice(2, 8)):
            crop = image[..., 8 * rows.start : 8 * rows.stop, 8 * columns.start : 8 * columns.stop]
            total[..., rows, columns] += model.encoder.dense(crop)
            counts[rows, columns] += 1
    torch.testing.assert_close(found, total / counts)


def test_other_names_take_no_reload(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    see = OpenVocabularyInferencer(TEACHER, vocabulary=["sky", "sand"])
    see.set_vocabulary(["grass", "cow", "sea"])  # loads the text tower, which stays
    weights = [parameter.data_ptr() for parameter in see.model.parameters()]
    monkeypatch.setattr(text_tower_module, "build_clip", None)
    see.set_vocabulary(["sea", "a red boat", "forest"])
    assert see.classes == ("sea", "a red boat", "forest")
    assert set(see(photos / "000001.jpg").names) <= set(see.classes)
    assert [parameter.data_ptr() for parameter in see.model.parameters()] == weights


def test_regions_are_classified(see: OpenVocabularyInferencer, photos: Path) -> None:
    path = photos / "000001.jpg"
    dense_cosines = reference_cosines(cv2.imread(str(path)), list(see.classes))
    mask = np.zeros((1, 64, 64), bool)
    mask[:, 8:16, 24:32] = True  # one position of the dense map
    expected = (dense_cosines[:, 1, 3] / 0.01).softmax(dim=0).numpy()
    for regions in (dict(masks=mask), dict(points=[[28, 12]])):
        found = see.classify(path, **regions)
        np.testing.assert_allclose(found.class_scores[0], expected, atol=1e-4)
        assert found.names == [see.classes[expected.argmax()]]
    whole = see.classify(path, boxes=[[0, 0, 64, 64], [0, 0, 32, 32]])
    assert whole.class_scores.shape == (2, 4)
    np.testing.assert_allclose(whole.class_scores.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="one of them; got 2"):
        see.classify(path, boxes=[[0, 0, 1, 1]], points=[[0, 0]])
    with pytest.raises(ValueError, match=r"masks of shape \(1, 63, 64\) are not of an image of 64 x 64"):
        see.classify(path, masks=mask[:, :-1])


def test_similarity_maps_are_cosines(see: OpenVocabularyInferencer, photos: Path, tmp_path: Path) -> None:
    path = photos / "000001.jpg"
    found = see.similarity(path, ["sky", "sand"])
    expected = interpolate(reference_cosines(cv2.imread(str(path)), ["sky", "sand"])[None], (64, 64), mode="bilinear")[
        0
    ]
    np.testing.assert_allclose(found.maps, expected.numpy(), atol=1e-5)
    found.save(tmp_path / "new" / "map.png")
    assert (tmp_path / "new" / "map.png").is_file()


def test_unreadable_images_are_named_and_the_stream_goes_on(
    see: OpenVocabularyInferencer, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "link.jpg").symlink_to("nowhere")
    given = [str(photos / "000001.jpg"), str(tmp_path), str(photos / "000002.jpg")]
    found = list(see.stream(given, batch_size=4))
    assert [type(each) for each in found] == [Prediction, UnreadableImage, UnreadableImage, Prediction]
    assert "only a link to it" in found[1].reason
    assert "is not a complete image" in found[2].reason
    with pytest.raises(ValueError, match=r"text\.jpg .* is not a complete image"):
        see(tmp_path / "text.jpg")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        see("nowhere.jpg")
    with pytest.raises(ValueError, match=r"BGR .* not \(4, 4\) uint8"):
        see(np.zeros((4, 4), np.uint8))
    with pytest.raises(TypeError, match="not int"):
        see(3)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        OpenVocabularyInferencer("nothing.safetensors")
    with pytest.raises(ValueError, match="chooses among at least two"):
        OpenVocabularyInferencer(TEACHER, vocabulary=["sky"])
    with pytest.raises(ValueError, match="input_size: only for an encoder alone"):
        OpenVocabularyInferencer("configs/tiny/fvit_original.py", "x.pth", input_size=64)
    with pytest.raises(ValueError, match="without the checkpoint of its model"):
        OpenVocabularyInferencer("configs/tiny/fvit_original.py")
    with pytest.raises(ValueError, match=r"number in \[0, 1\], not 1\.5"):
        OpenVocabularyInferencer(TEACHER, score_thr=1.5)
    with pytest.raises(ValueError, match="multiples of 8, the encoder's stride"):
        OpenVocabularyInferencer(TEACHER, vocabulary=["sky", "sea"], window=30)
