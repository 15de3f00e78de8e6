# F-ViT with an EVA02-CLIP ViT-L/14-336: what differs from ViT-B/16. The strides follow from the patch of 14 pixels.
_base_ = './fvit.py'

original = 'weights/EVA02_CLIP_L_336_psz14_s6B.pt'

model = dict(
    data_preprocessor=dict(pad_size_divisor=896),
    backbone=dict(
        encoder=dict(model_name='EVA02-L-14-336', checkpoint=original),
        out_indices=(6, 10, 14, 23)),
    neck=dict(in_channels=[1024] * 4),
    rpn_head=dict(anchor_generator=dict(strides=[3.5, 7, 14, 28, 56])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[3.5, 7, 14, 28]),
        vlm_roi_extractor=dict(out_channels=768, featmap_strides=[14]),
        bbox_head=dict(
            class_embeddings=dict(model_name='EVA02-L-14-336', checkpoint=original), fc_out_channels=768)))
