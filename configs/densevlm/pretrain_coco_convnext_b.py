# OpenCLIP ConvNeXt-B (LAION-2B) as student: stride 32.
_base_ = './pretrain_coco_rn50x4.py'

model = dict(
    encoder=dict(model_name='convnext_base_w', checkpoint='open_clip:laion2b_s13b_b82k'))
