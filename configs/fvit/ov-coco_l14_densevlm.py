# The encoder trained by configs/densevlm/pretrain_coco_eva02_l14.py and exported (tools/export_encoder.py);
# published DenseVLM weights are read as they are.
_base_ = './ov-coco_l14_eva-original.py'

model = dict(backbone=dict(encoder=dict(checkpoint='weights/densevlm_eva02_l14.safetensors')))
