# Transfer of an OV-LVIS detector (ViT-L/14) to COCO's 80 classes; test only:
# python tools/test.py configs/fvit/transfer_l14_coco.py CHECKPOINT_OF_ov-lvis_l14
_base_ = [
    '../_base_/models/fvit_lvis_l14.py',
    '../_base_/det_runtime.py',
]

model = dict(
    roi_head=dict(
        bbox_head=dict(
            num_classes=80,
            class_embeddings=dict(vocabulary='coco_80'),
            novel_classes=(),  # one exponent for all classes
            temperature=50.0,
            learn_temperature=False,  # the checkpoint's is left aside
            vlm_temperature=120.0,
            alpha=0.2),
        mask_roi_extractor=None,
        mask_head=None))
default_hooks = dict(
    strict_checkpoint=dict(allow_unexpected=('roi_head.mask_head.', 'roi_head.bbox_head.temperature')))

data_root = 'data/coco'
test_pipeline = [
    dict(type='densevlm_mm.LoadImage'),
    dict(type='Resize', scale=(896, 896), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ClassOrderCocoDataset',
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017'),
        test_mode=True,
        pipeline=test_pipeline))
test_evaluator = dict(type='ClassOrderCocoMetric', ann_file=data_root + '/annotations/instances_val2017.json')
test_cfg = dict(type='TestLoop')
