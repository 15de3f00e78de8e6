# Transfer of an OV-LVIS detector (ViT-L/14) to Pascal VOC 2007 test; test only.
_base_ = './transfer_l14_coco.py'

model = dict(roi_head=dict(bbox_head=dict(num_classes=20, class_embeddings=dict(vocabulary='voc_20'), alpha=0.3)))

test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='VOCDataset',
        data_root='data/VOCdevkit',
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        test_mode=True,
        pipeline={{_base_.test_pipeline}}))
test_evaluator = dict(_delete_=True, type='VOCMetric', metric='mAP', eval_mode='11points', iou_thrs=[0.5, 0.75])
