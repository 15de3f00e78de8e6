"""SAN's decode head over any vocabulary."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.san_head import RecWithAttnbias, SideAdapterCLIPHead, SideAdapterNetwork
from mmseg.registry import MODELS
from mmseg.utils import MatchMasks
from torch import Tensor, nn

# B images, Q queries, K classes, D channels of the joint space.


class SizedSideAdapterNetwork(SideAdapterNetwork):
    """mmseg's side adapter with position embeddings for another input size than 640 x 640.

    Args:
        input_size: (height, width) in pixels that the position embeddings are learned for; resized for others.
        **options: Those of mmseg's ``SideAdapterNetwork``.
    """

    def __init__(self, input_size: Sequence[int] = (640, 640), **options: Any) -> None:
        super().__init__(**options)
        patch, width = self.patch_embed.projection.kernel_size[0], self.patch_embed.embed_dims
        grid = (input_size[0] // patch, input_size[1] // patch)
        self.patch_embed.init_out_size = grid
        self.pos_embed = nn.Parameter(torch.randn(1, grid[0] * grid[1], width) * 0.02)


@MODELS.register_module()
class OpenVocabularySANHead(SideAdapterCLIPHead):
    """mmseg's ``SideAdapterCLIPHead`` (SAN, arXiv 2302.12242) with a choice of recognition and checks of its labels.

    Cosines and losses are computed in float32 under autocast: in bfloat16 a logit of 100 times a cosine has steps of a
    half, and the matching would fail.

    Args:
        num_classes: Size of the training vocabulary; :class:`OpenVocabularySAN` fills it in.
        san_cfg: Options of the side adapter, and ``input_size`` (height, width; default 640 x 640).
        maskgen_cfg: Options of mmseg's ``RecWithAttnbias``, which holds the last CLIP blocks, or with a ``type`` the
            config of another recognition module, such as :class:`MaskPooledRecognition`.
        deep_supervision_idxs: Layers of the side adapter, beside its last one, that get a loss.
        train_cfg: Matching and point sampling.
        loss_decode: mmseg's losses named ``loss_cls_ce``, ``loss_mask_ce`` and ``loss_mask_dice``.
        no_object_weight: Weight of "no object" in the classification loss.
        **options: Those of mmseg's ``BaseDecodeHead``.

    Raises:
        ValueError: If the ignored label is one of the vocabulary's, or side adapter and recognition do not fit.
    """

    def __init__(
        self,
        num_classes: int,
        san_cfg: dict[str, Any],
        maskgen_cfg: dict[str, Any],
        deep_supervision_idxs: list[int],
        train_cfg: dict[str, Any],
        loss_decode: Sequence[dict[str, Any]],
        no_object_weight: float = 0.1,
        **options: Any,
    ) -> None:
        class_weight = [1.0] * num_classes + [no_object_weight]
        # Not SideAdapterCLIPHead's own __init__, which knows one recognition and reads its configs by attribute.
        BaseDecodeHead.__init__(
            self,
            in_channels=san_cfg["in_channels"],
            channels=san_cfg["embed_dims"],
            num_classes=num_classes,
            loss_decode=[
                {"class_weight": class_weight, **loss} if loss["loss_name"] == "loss_cls_ce" else loss
                for loss in loss_decode
            ],
            **options,
        )
        del self.conv_seg
        if 0 <= self.ignore_index < num_classes:
            raise ValueError(
                f"ignore_index {self.ignore_index} is a class of the training vocabulary of {num_classes}: set "
                "decode_head.ignore_index, data_preprocessor.seg_pad_val and the data set's labels to e.g. 65535"
            )
        self.side_adapter_network = self._build_side_adapter(san_cfg)
        self.rec_with_attnbias = self._build_recognition(maskgen_cfg, san_cfg["num_queries"])
        self.deep_supervision_idxs = deep_supervision_idxs
        self.train_cfg = ConfigDict(train_cfg)
        self.match_masks = MatchMasks(
            num_points=self.train_cfg.num_points,
            num_queries=san_cfg["num_queries"],
            num_classes=num_classes,
            assigner=self.train_cfg.assigner,
        )

    @staticmethod
    def _build_side_adapter(cfg: dict[str, Any]) -> SizedSideAdapterNetwork:
        network = SizedSideAdapterNetwork(**ConfigDict(cfg))
        if list(network.fusion_index) != list(range(len(network.fusion_index))):
            raise ValueError(
                f"san_cfg.fusion_index={network.fusion_index}: mmseg's side adapter silently leaves out features that "
                f"are not fused at consecutive layers; use {list(range(len(network.fusion_index)))}"
            )
        return network

    @staticmethod
    def _build_recognition(cfg: dict[str, Any], num_queries: int) -> nn.Module:
        if "type" in cfg:
            return MODELS.build(cfg)
        recognition = RecWithAttnbias(**cfg)
        if recognition.sos_token_num != num_queries:
            raise ValueError(
                f"maskgen_cfg.sos_token_num={recognition.sos_token_num} must be san_cfg.num_queries={num_queries}"
            )
        return recognition

    def init_weights(self) -> None:
        """Initialise the side adapter; what CLIP gives is loaded by :class:`OpenVocabularySAN`.

        mmseg's own method fails without an ``init_cfg`` of type 'Pretrained_Part', and with one takes any file.
        """
        self.side_adapter_network.init_weights()

    def forward(
        self, inputs: Sequence[Any], deep_supervision_idxs: Sequence[int] = ()
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Propose masks and classify them.

        Args:
            inputs: Images (B, 3, H, W), the image encoder's items, and a classifier's weights (K + 1, D).
            deep_supervision_idxs: Layers of the side adapter to read beside the last one.

        Returns:
            For each layer read the mask logits (B, Q, H / patch, W / patch) and the class logits (B, Q, K + 1), the
            latter in float32.
        """
        images, clip_features, classifier = inputs
        masks, biases = self.side_adapter_network(images, clip_features, deep_supervision_idxs)
        embeddings = [self.rec_with_attnbias(bias, clip_features[-1]) for bias in biases]
        with torch.autocast(images.device.type, enabled=False):
            return masks, [embedding.float() @ classifier.float().t() for embedding in embeddings]

    def loss_by_feat(
        self,
        all_cls_scores: list[Tensor],
        all_mask_preds: list[Tensor],
        batch_gt_instances: list[InstanceData],
    ) -> dict[str, Tensor]:
        """Match masks and segments, and compute the losses, in float32.

        Args:
            all_cls_scores: For each supervised layer (B, Q, K + 1).
            all_mask_preds: For each supervised layer (B, Q, h, w).
            batch_gt_instances: An image's ``labels`` (N,) and ``masks`` (N, H, W).

        Returns:
            The losses by name.

        Raises:
            ValueError: If a label is not one of the training vocabulary's.
        """
        for instances in batch_gt_instances:
            wrong = instances.labels[(instances.labels < 0) | (instances.labels >= self.num_classes)]
            if len(wrong):
                raise ValueError(
                    f"label {int(wrong[0])} is neither one of the {self.num_classes} classes of the training "
                    f"vocabulary nor ignored ({self.ignore_index}): model.class_embeddings.vocabulary and the data "
                    "set's classes must agree, and decode_head.ignore_index be the data set's"
                )
        with torch.autocast(all_cls_scores[0].device.type, enabled=False):
            return super().loss_by_feat(
                [scores.float() for scores in all_cls_scores],
                [masks.float() for masks in all_mask_preds],
                batch_gt_instances,
            )
