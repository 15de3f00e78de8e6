# The same segmentor on the image tower that CLIPSelf refined from OpenAI's weights; the text tower stays OpenAI's.
_base_ = './cat-seg_vit-b16_clip.py'

model = dict(image_encoder=dict(checkpoint='weights/clipself_openai_b16.safetensors'))
