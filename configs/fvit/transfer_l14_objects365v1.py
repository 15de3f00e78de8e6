# Transfer of an OV-LVIS detector (ViT-L/14) to the 365 classes of Objects365 v1; test only.
_base_ = './transfer_l14_coco.py'

model = dict(
    roi_head=dict(bbox_head=dict(num_classes=365, class_embeddings=dict(vocabulary='objects365_v1'), alpha=0.3)))

data_root = 'data/objects365v1'
test_dataloader = dict(
    dataset=dict(
        type='ClassOrderObjects365Dataset',
        data_root=data_root,
        ann_file='annotations/objects365_val.json',
        data_prefix=dict(img='val'),
        max_overhang=1e6))  # boxes of a tenth of its images reach over the border
test_evaluator = dict(ann_file=data_root + '/annotations/objects365_val.json', max_overhang=1e6)
