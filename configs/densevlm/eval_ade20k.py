# A COCO-pretrained encoder on ADE20K panoptic regions (Table 1):
# python tools/test.py configs/densevlm/eval_ade20k.py CHECKPOINT
_base_ = './pretrain_coco.py'

model = dict(test_class_embeddings=dict(vocabulary='ade20k_150'))
val_dataloader = dict(
    dataset=dict(
        data_root='data/ade20k',
        ann_file='ade20k_panoptic_val.json',
        data_prefix=dict(img='images/validation', seg='ade20k_panoptic_val'),
        vocabulary='ade20k_150',
        match_categories='order'))
test_dataloader = val_dataloader
