# The smaller teacher of Table 5: EVA02-CLIP ViT-B/16, refined by CLIPSelf as the larger one is.
_base_ = './pretrain_coco.py'

default_hooks = dict(
    teacher=dict(
        teacher=dict(model_name='EVA02-B-16', checkpoint='weights/eva_vitb16_coco_clipself_patches.pt'),
        input_size=None))  # the canvas as it is: 32 whole patches of 16
