# RegionCLIP-style pretraining (arXiv 2112.09106): pseudo region-text pairs, which tools/pseudo_labels.py makes of the
# teacher's answers, and a contrastive loss. No teacher runs in training.
_base_ = '../densevlm/pretrain_coco_proposals.py'

model = dict(loss=dict(_delete_=True, type='RegionContrastiveLoss', num_classes=100, temperature=0.01))
default_hooks = dict(teacher=dict(_delete_=True, type='RegionLabelHook'))
train_dataloader = dict(dataset=dict(dataset=dict(region_file='annotations/pseudo_labels_train2017.json')))
