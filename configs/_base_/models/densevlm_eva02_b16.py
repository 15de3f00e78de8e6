# The student (U-VLM): EVA02-CLIP ViT-B/16 (Sec. 4.1).
model = dict(
    type='RegionPretrainer',
    encoder=dict(
        type='DenseImageEncoder',
        model_name='EVA02-B-16',
        checkpoint='weights/EVA02_CLIP_B_psz16_s8B.pt',
        trainable='blocks'),  # embeddings, final norm, projection and the last block's query/key stay frozen
    # The set of 204 things and 112 stuff classes. Built once from the checkpoint's text tower, then cached.
    class_embeddings=dict(vocabulary='set_316', templates='vild', normalization='class'),
    test_class_embeddings=dict(vocabulary='coco_panoptic_133', templates='vild', normalization='class'),
    loss=dict(
        type='DecoupledAlignmentLoss',
        thing_contrast='things',  # Table 3, row 4
        stuff_contrast='all',
        temperature=0.01,
        threshold=0.3,  # theta, Table 12
        reduction='image'))  # of an image the mean over its kept regions, of a batch the mean over images (Sec. 3.2)
