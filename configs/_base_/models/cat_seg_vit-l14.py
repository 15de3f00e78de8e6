# CAT-Seg on OpenAI's CLIP ViT-L/14 at 336 pixels; crops stay 384 pixels and are resized to 336.
_base_ = './cat_seg_vit-b16.py'

clip = dict(model_name='ViT-L-14-336-quickgelu', checkpoint='open_clip:openai')
model = dict(
    image_encoder=dict(image_size=336, **clip),
    text_encoder=clip,
    guidance_indices=(7, 15))
