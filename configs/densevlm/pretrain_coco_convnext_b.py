# OpenCLIP ConvNeXt-B (LAION-2B) as student: stride 32.
_base_ = './pretrain_coco_rn50x4.py'

model = dict(
    encoder=dict(
        model_name='convnext_base_w', checkpoint='weights/CLIP-convnext_base_w-laion2B-s13B-b82K.safetensors'))
