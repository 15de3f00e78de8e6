"""What an encoder still knows about whole images after its regions were trained: zero-shot classes and retrieval."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import torch
from mmengine.config import Config
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, Dataset

from densevlm_mm.analysis.models import AnalysisModel
from densevlm_mm.analysis.region_scores import check_vocabulary
from densevlm_mm.analysis.style import picture, series_colours
from densevlm_mm.apis import check_inputs
from densevlm_mm.datasets.annotations.captions import CaptionedImage, load_captions
from densevlm_mm.datasets.image_files import decode_image, read_file
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.registry import DATASETS

RETRIEVAL_RANKS = (1, 5, 10)


class _WholeImages(Dataset):
    """Images as the encoder's weights were trained to see them, by open_clip's own preprocessing."""

    def __init__(self, paths: Sequence[str], model: AnalysisModel) -> None:
        self.paths = list(paths)
        encoder = model.encoder
        preprocessing = PreprocessCfg(**{**encoder.preprocess_cfg, "size": encoder.image_size})
        self.transform = image_transform_v2(preprocessing, is_train=False)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        path = self.paths[index]
        image = cv2.cvtColor(decode_image(read_file(path), path), cv2.COLOR_BGR2RGB)
        return self.transform(Image.fromarray(image))


def whole_image_loader(
    model: AnalysisModel, paths: Sequence[str], batch_size: int = 64, num_workers: int = 0
) -> DataLoader:
    """Batches (B, 3, n, n) of whole images, prepared as the encoder's weights were trained to see them.

    Args:
        model: Whose encoder is looked at.
        paths: N image files.
        batch_size: Images a batch.
        num_workers: Processes that load images.
    """
    return DataLoader(_WholeImages(paths, model), batch_size, num_workers=num_workers)


@torch.no_grad()
def embed_images(encoder: DenseImageEncoder, batches: Iterable[Tensor]) -> Tensor:
    """Embed whole images with the encoder's ordinary attention and pooling.

    Args:
        encoder: What embeds.
        batches: Of :func:`whole_image_loader`, N images in all.

    Returns:
        Unit vectors (N, D) on the CPU.

    Raises:
        FileNotFoundError: If an image does not exist.
        ValueError: If a file is not a complete image.
    """
    device = next(encoder.parameters()).device
    return torch.cat([normalize(encoder(images.to(device)).float(), dim=-1).cpu() for images in batches])


def class_hits(similarity_NK: Tensor, present_NK: Tensor, top: int = 1) -> Tensor:
    """Whether one of an image's best classes is in it: zero-shot classification of images with several classes.

    Args:
        similarity_NK: Cosines of N images with K classes.
        present_NK: Which classes an image shows, bool; at least one an image.
        top: How many of the best classes count.

    Returns:
        (N,) bool.
    """
    best = similarity_NK.topk(min(top, similarity_NK.shape[1]), dim=1).indices
    return present_NK.gather(1, best).any(dim=1)


def retrieval_ranks(queries_QD: Tensor, items_ID: Tensor, relevant: Tensor, chunk: int = 512) -> Tensor:
    """Rank of the best relevant item of every query: how many others score at least as high (ties count against it).

    Args:
        queries_QD: Unit vectors.
        items_ID: Unit vectors.
        relevant: (2, P) int64, pairs of a query and an item that belong together; at least one a query.
        chunk: Queries at a time.

    Returns:
        (Q,) int64; 0 is the first place.
    """
    ranks = []
    for start in range(0, len(queries_QD), chunk):
        scores_QI = queries_QD[start : start + chunk] @ items_ID.T
        mine = (relevant[0] >= start) & (relevant[0] < start + chunk)
        is_relevant_QI = torch.zeros(scores_QI.shape, dtype=torch.bool, device=scores_QI.device)
        is_relevant_QI[relevant[0][mine] - start, relevant[1][mine]] = True
        best_Q1 = scores_QI.masked_fill(~is_relevant_QI, -torch.inf).amax(dim=1, keepdim=True)
        ranks.append(((scores_QI >= best_Q1) & ~is_relevant_QI).sum(dim=1))
    return torch.cat(ranks)


def unique_captions(images: Sequence[CaptionedImage]) -> tuple[list[str], Tensor]:
    """The distinct captions of a data set, and which image has which.

    Two images may have the same caption, in TinyScenes often: it is one item then, and right for both.

    Args:
        images: N images with captions.

    Returns:
        T distinct captions; (2, P) int64 pairs of image and caption.
    """
    place: dict[str, int] = {}
    pairs = sorted(
        {(row, place.setdefault(caption, len(place))) for row, image in enumerate(images) for caption in image.captions}
    )
    return list(place), torch.tensor(pairs, dtype=torch.int64).T


def retrieval_recalls(images_ND: Tensor, captions_TD: Tensor, pairs: Tensor) -> dict[str, float]:
    """Recall at 1, 5 and 10, both ways.

    Args:
        images_ND: Unit image vectors.
        captions_TD: Unit vectors of the distinct captions.
        pairs: (2, P) pairs of image and caption, see :func:`unique_captions`.

    Returns:
        ``image_to_text_r1`` ... ``text_to_image_r10``, percent of images, and of distinct captions.
    """
    ranks = dict(
        image_to_text=retrieval_ranks(images_ND, captions_TD, pairs),
        text_to_image=retrieval_ranks(captions_TD, images_ND, pairs.flip(0)),
    )
    return {
        f"{way}_r{top}": 100.0 * float((values < top).double().mean())
        for way, values in ranks.items()
        for top in RETRIEVAL_RANKS
    }


def labelled_images(cfg: Config) -> tuple[list[str], Tensor, tuple[str, ...]]:
    """The images of the config's test data and the classes that their annotations name; crowds count.

    Returns:
        N paths; (N, K) bool; the K classes.

    Raises:
        MissingInputsError: If the data is missing.
        ValueError: If not one image has a class.
    """
    check_inputs(cfg, "test")
    dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, pipeline=[]))
    paths, present = [], []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        row = torch.zeros(len(dataset.metainfo["classes"]), dtype=torch.bool)
        row[[segment["label"] for segment in info["segments_info"]]] = True
        if row.any():
            paths.append(info["img_path"])
            present.append(row)
    if not paths:
        raise ValueError(f"no image of {dataset.ann_file} has an annotated class")
    return paths, torch.stack(present), tuple(dataset.metainfo["classes"])


def default_captions(cfg: Config) -> tuple[Path, Path]:
    """Captions file and image folder that belong to the config's panoptic test data, by COCO's way of naming.

    ``annotations/panoptic_val2017.json`` has ``annotations/captions_val2017.json`` beside it. The files need not exist.
    """
    dataset = cfg.test_dataloader.dataset
    root, ann_file = Path(dataset.get("data_root", "")), Path(dataset.ann_file)
    captions = ann_file.with_name(ann_file.name.replace("panoptic", "captions"))
    return root / captions, root / dataset.data_prefix["img"]


class WholeImageTask:
    """What an encoder is asked about whole images: classes and captions, embedded once for all weights of its tower.

    Args:
        model: The encoder with its text tower.
        captions: Captions file and image folder; ``None`` leaves retrieval out.

    Attributes:
        paths: The N images of both parts, each once.

    Raises:
        FileNotFoundError: If data or weights are missing.
        ValueError: If data is malformed, or the model's vocabulary is not the data set's.
    """

    def __init__(self, model: AnalysisModel, captions: tuple[str | Path, str | Path] | None) -> None:
        labelled, self._present_NK, classes = labelled_images(model.cfg)
        captioned = [] if captions is None else load_captions(*captions)
        embeddings = model.class_embeddings()
        check_vocabulary(model, embeddings.classes, classes)
        self._classes_KD = normalize(embeddings.embeddings, dim=-1)
        row_of = {path: row for row, path in enumerate(dict.fromkeys([*labelled, *(im.path for im in captioned)]))}
        self.paths = list(row_of)
        self._labelled_rows = [row_of[path] for path in labelled]
        self._captioned_rows = [row_of[image.path] for image in captioned]
        if captioned:
            texts, self._pairs = unique_captions(captioned)
            self._captions_TD = model.embed_captions(texts)

    def score(self, images_ND: Tensor) -> dict[str, float]:
        """Score an encoder by its embeddings of the task's images.

        - ``class_top1``, ``class_top5``: percent of the test images that show (one of) the best class(es) among all K;
          ``class_chance``: what guessing a class gives. Classes are embedded as the config says.
        - ``image_to_text_r1/5/10``, ``text_to_image_r1/5/10``: see :func:`retrieval_recalls`; captions as they are.
        - ``num_images``, ``num_captioned_images``, ``num_captions`` (distinct).

        Args:
            images_ND: Unit vectors, in the order of ``paths``.
        """
        present_NK, similarity_NK = self._present_NK, images_ND[self._labelled_rows] @ self._classes_KD.T
        scores = {
            f"class_top{top}": 100.0 * float(class_hits(similarity_NK, present_NK, top).double().mean())
            for top in (1, 5)
        }
        scores |= dict(class_chance=100.0 * float(present_NK.double().mean()), num_images=len(present_NK))
        if self._captioned_rows:
            scores |= retrieval_recalls(images_ND[self._captioned_rows], self._captions_TD, self._pairs)
            scores |= dict(num_captioned_images=len(self._captioned_rows), num_captions=len(self._captions_TD))
        return scores


def image_level_scores(
    model: AnalysisModel,
    captions: tuple[str | Path, str | Path] | None,
    track: Callable[[Iterable], Iterable] = iter,
) -> dict[str, float]:
    """Score an encoder on whole images, see :meth:`WholeImageTask.score`.

    Args:
        model: The encoder.
        captions: Captions file and image folder; ``None`` leaves retrieval out.
        track: Wraps the iteration over the batches, for a progress bar.

    Raises:
        FileNotFoundError: If data or weights are missing.
        ValueError: If data is malformed, or the model's vocabulary is not the data set's.
    """
    task = WholeImageTask(model, captions)
    options = model.cfg.test_dataloader
    loader = whole_image_loader(model, task.paths, options.batch_size, options.get("num_workers", 0))
    return task.score(embed_images(model.encoder, track(loader)))


def plot_retention(results: Mapping[str, Mapping[str, float]], path: str | Path, title: str = "") -> None:
    """Draw the scores of several checkpoints side by side.

    Args:
        results: Name of a checkpoint to its scores, see :func:`image_level_scores`.
        path: PNG to write.
        title: Heading.
    """
    chance = next(iter(results.values()))["class_chance"]
    titles = {"class_top1": f"class Top-1\n(chance {chance:.1f})", "class_top5": "class\nTop-5"}
    titles |= {f"image_to_text_r{top}": f"image to text\nR@{top}" for top in RETRIEVAL_RANKS}
    titles |= {f"text_to_image_r{top}": f"text to image\nR@{top}" for top in RETRIEVAL_RANKS}
    keys = [key for key in titles if all(key in scores for scores in results.values())]
    bar = 0.8 / len(results)
    with picture(path, max(6.0, len(keys) * max(1.05, 0.36 * len(results) + 0.35)), 3.4) as figure:
        axes = figure.add_axes((0, 0.12, 1, 0.72))
        for number, ((name, scores), colour) in enumerate(
            zip(results.items(), series_colours(len(results)), strict=True)
        ):
            positions = [place + (number - (len(results) - 1) / 2) * bar for place in range(len(keys))]
            values = [scores[key] for key in keys]
            axes.bar(positions, values, width=bar * 0.94, color=colour, label=name)
            for x, value in zip(positions, values, strict=True):
                axes.text(x, value + 1.2, f"{value:.1f}", fontsize=7.5, ha="center", va="bottom", color="#333333")
        axes.set(xlim=(-0.5, len(keys) - 0.5), ylim=(0, 108), ylabel="%")
        axes.set_xticks(range(len(keys)), [titles[key] for key in keys])
        axes.set_yticks(range(0, 101, 20))
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="y")
        axes.plot((-0.45, 0.45), (chance, chance), color="black", linewidth=1.0, linestyle=(0, (4, 3)))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=len(results), borderaxespad=0)
        if title:
            figure.text(0, 0.98, title, fontsize=12, weight="bold", ha="left", va="bottom")
