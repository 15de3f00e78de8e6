# F-ViT over OpenAI's CLIP ViT-B/16, OV-LVIS.
_base_ = './ov-lvis_b16_eva-original.py'

openai = dict(model_name='ViT-B-16-quickgelu', checkpoint='open_clip:openai')
model = dict(
    data_preprocessor=dict(mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323]),
    backbone=dict(encoder=openai),
    roi_head=dict(bbox_head=dict(class_embeddings=openai)))
