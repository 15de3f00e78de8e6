# Table 2, logits of a larger teacher on crops: DenseVLM's loss, its targets from image crops.
_base_ = '../densevlm/pretrain_coco.py'

default_hooks = dict(
    teacher=dict(
        _delete_=True,
        type='CropTeacherHook',
        with_logits=True,
        teacher=dict(
            type='DenseImageEncoder', model_name='EVA02-L-14-336', checkpoint='weights/EVA02_CLIP_L_336_psz14_s6B.pt'),
        batch_size=64))  # crops of 336 pixels
