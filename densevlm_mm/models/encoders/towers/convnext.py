"""ConvNeXt towers (``timm.models.convnext.ConvNeXt`` inside open_clip's ``TimmModel``)."""

from collections.abc import Sequence
from typing import Any

from open_clip.timm_model import TimmModel
from timm.layers import NormMlpClassifierHead
from torch import Tensor, nn

from densevlm_mm.models.encoders.towers.base import Tower, as_map, run_stage


class ConvNeXtTower(Tower):
    """Dense path: the head's norm and open_clip's projection applied to every position of the last stage's map.

    Raises:
        ValueError: If the trunk pools before anything but norm and projection (``head_norm_first`` towers).
    """

    visual: TimmModel
    num_blocks = 4

    def __init__(self, visual: TimmModel) -> None:
        super().__init__(visual)
        trunk: Any = visual.trunk
        self.trunk = trunk
        if not isinstance(trunk.head, NormMlpClassifierHead) or hasattr(visual.head, "pool"):
            raise ValueError(f"ConvNeXt head {type(trunk.head).__name__} has no dense path")
        if trunk.feature_info[-1]["reduction"] != 32:
            raise ValueError(
                f"ConvNeXt of output stride {trunk.feature_info[-1]['reduction']} is not supported, only 32"
            )
        self.stride = 32
        self.native_size = tuple(visual.image_size)
        self.width = trunk.num_features
        linear_layers = [m for m in (*trunk.head.modules(), *visual.head.modules()) if isinstance(m, nn.Linear)]
        self.embed_dim = linear_layers[-1].out_features if linear_layers else self.width

    def groups(self) -> list[nn.Module]:
        """See base class."""
        return list(self.trunk.stages)

    def split_unused(self) -> set[nn.Parameter]:
        """See base class."""
        return set()

    def _stages(self, images: Tensor, last: int) -> list[Tensor]:
        self.check_size(images)
        maps = self.trunk.stem(images)
        outputs = []
        for stage in self.trunk.stages[: last + 1]:
            maps = self._run(run_stage, stage, maps)
            outputs.append(maps)
        return outputs

    def embed_image(self, images: Tensor) -> Tensor:
        """See base class."""
        maps = self._stages(images, last=3)[-1]
        return self.visual.head(self.trunk.forward_head(self.trunk.norm_pre(maps)))

    def embed_densely(
        self, images: Tensor, out_indices: Sequence[int], with_dense: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """See base class; the blocks are the four stages, of stride 4, 8, 16 and 32."""
        outputs = self._stages(images, last=3 if with_dense else max(out_indices))
        maps = [outputs[index] for index in out_indices]
        if not with_dense:
            return maps, None
        head = self.trunk.head
        normed = head.norm(self.trunk.norm_pre(outputs[-1]))
        grid = (normed.shape[-2], normed.shape[-1])
        tokens = head.fc(head.pre_logits(normed.flatten(2).transpose(1, 2)))
        return maps, as_map(self.visual.head(tokens), grid)
