# RegionCLIP-style pretraining (arXiv 2112.09106) on pseudo region-text pairs, grid cells that the teacher named:
# python tools/pseudo_labels.py configs/tiny/densevlm.py data/tiny_scenes/annotations/pseudo_labels_train.json
_base_ = './region_clip_boxes.py'

train_dataloader = dict(dataset=dict(dataset=dict(region_file='annotations/pseudo_labels_train.json', min_size=1)))
