"""Labels that came with the regions, in the place of a teacher's."""

import torch
from mmengine.runner import Runner

from densevlm_mm.engine.hooks.target import TargetHook
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.registry import HOOKS
from densevlm_mm.vocabulary.class_matching import match_classes


@HOOKS.register_module()
class RegionLabelHook(TargetHook):
    """Write ``regions.labels`` (R,), the model's classes of regions that a data set brings categories for.

    Stands where other runs have their teacher. The categories of the region file are found in the vocabulary of
    ``model.class_embeddings`` by name, once, before the first step; the file may use a part of the vocabulary in any
    order.
    """

    region_targets = ("labels",)

    def before_train(self, runner: Runner) -> None:
        """Match the categories of the training data with the classes of the model.

        Raises:
            ValueError: If the data has no categories, the model no classes, or a category is none of them.
        """
        meta = runner.train_dataloader.dataset.metainfo
        embeddings = unwrap_model(runner.model).class_embeddings
        if not meta.get("classes"):
            raise ValueError(
                "RegionLabelHook needs regions with categories: use a RegionProposalDataset whose region_file has "
                "'categories' and a category_id for every region"
            )
        if embeddings is None:
            raise ValueError("RegionLabelHook needs model.class_embeddings, the vocabulary that labels are classes of")
        try:
            indices = match_classes(meta["classes"], meta.get("is_thing"), embeddings.classes, embeddings.is_thing)
        except ValueError as error:
            raise ValueError(
                f"categories of the region file and the vocabulary {embeddings.name!r} of model.class_embeddings do "
                f"not fit: {error}. Rename the category in the file, or choose a vocabulary that has it"
            ) from error
        self.class_of = torch.tensor(indices)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Write the labels of every region into ``data_batch['data_samples'][i].regions``."""
        if data_batch is None:
            return
        data_samples = data_batch["data_samples"]
        categories_R = torch.cat([sample.regions.category_labels for sample in data_samples])
        self.write_region_targets(data_samples, dict(labels=self.class_of[categories_R]))
