# CAT-Seg (arXiv 2303.11797, the CVPR 2024 model) on OpenAI's CLIP ViT-B/16.
clip = dict(model_name='ViT-B-16-quickgelu', checkpoint='open_clip:openai')

model = dict(
    type='CATSeg',
    image_encoder=dict(
        type='densevlm_mm.DenseImageEncoder',
        image_size=384,  # every view, whatever its size, is resized to this: 24 x 24 tokens
        trainable='query_value',
        dense_residual='cls',  # CAT-Seg adds the class token in the last block; DenseVLM trains with 'token'
        **clip),
    # Its own checkpoint: files of DenseVLM and CLIPSelf may hold the image tower alone.
    text_encoder=dict(type='densevlm_mm.ClipTextEncoder', trainable='query_value', **clip),
    guidance_indices=(3, 7),
    decode_head=dict(
        type='CATSegHead',
        guidance_channels=(256, 128),
        aggregator=dict(
            channels=128,
            num_prompts=1,
            num_layers=2,
            num_heads=4,
            window_size=12,
            decoder_guidance_channels=(32, 16),
            decoder_channels=(64, 32),
            max_classes=256,
            pool=(2, 1)),  # in training, in tests
        loss_decode=dict(type='PixelBinaryCrossEntropyLoss', ignored='negative')),
    vocabulary='coco_stuff_171',  # trained on; test_vocabulary is what predictions are over
    templates='cat_seg',
    synonyms='first',
    # The reported protocol: four 384-pixel crops of the 640-pixel square and one view of the whole.
    test_cfg=dict(mode='slide', size=640, crop_size=384, stride=256))
