# The same segmentor on the image tower that DenseVLM refined from OpenAI's weights; the text tower stays OpenAI's.
_base_ = './cat-seg_vit-b16_clip.py'

model = dict(image_encoder=dict(checkpoint='weights/densevlm_openai_b16.safetensors'))
