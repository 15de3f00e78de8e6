# The encoder trained by configs/densevlm/pretrain_coco.py and exported (tools/export_encoder.py);
# published DenseVLM weights are read as they are.
_base_ = './ov-lvis_b16_eva-original.py'

model = dict(backbone=dict(encoder=dict(checkpoint='weights/densevlm_eva02_b16.safetensors')))
