# SAN on an OpenAI-type CLIP ViT-L/14 at 336 pixels: 18 blocks encode, seen at 0.7 of the resolution, 6 recognise.
_base_ = './san_vit-b16.py'

model = dict(
    clip=dict(model_name='ViT-L-14-336-quickgelu', checkpoint='open_clip:openai'),
    encoder_resolution=0.7,
    image_encoder=dict(
        img_size=(336, 336), patch_size=14, embed_dims=1024, num_layers=18, num_heads=16, out_indices=(5, 11, 17)),
    decode_head=dict(
        san_cfg=dict(clip_channels=1024, cfg_decoder=dict(num_heads=16)),
        maskgen_cfg=dict(num_layers=6, embed_dims=1024, num_heads=16, out_dims=768)))
