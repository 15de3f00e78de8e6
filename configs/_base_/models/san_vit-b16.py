# SAN (arXiv 2302.12242) on an OpenAI-type CLIP ViT-B/16: mmseg's own parts and numbers, with our vocabulary and weights.
# The first 9 blocks are the image encoder, seen at half the resolution; the last 3 recognise the masks.
_base_ = 'mmseg::_base_/models/san_vit-b16.py'

model = dict(
    type='OpenVocabularySAN',
    pretrained=None,
    text_encoder=None,
    # Swapping CLIP for DenseVLM is a change of this checkpoint. The text tower remains CLIP's.
    clip=dict(model_name='ViT-B-16-quickgelu', checkpoint='open_clip:openai'),
    class_embeddings=dict(
        vocabulary='coco_stuff_171', templates='vild14', synonyms='joined', checkpoint='open_clip:openai'),
    # As published, the position embedding trains although the backbone is called frozen: [] freezes it too.
    image_encoder=dict(frozen_exclude=['pos_embed']),
    decode_head=dict(
        type='OpenVocabularySANHead',
        num_classes=None,  # the vocabulary's
        no_object_weight=0.1,
        loss_decode=[
            dict(type='CrossEntropyLoss', loss_name='loss_cls_ce', loss_weight=2.0),
            dict(type='CrossEntropyLoss', use_sigmoid=True, loss_name='loss_mask_ce', loss_weight=5.0),
            dict(
                type='DiceLoss',
                ignore_index=None,
                naive_dice=True,
                eps=1,
                loss_name='loss_mask_dice',
                loss_weight=5.0),
        ]))
