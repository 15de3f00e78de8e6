# Table 2, row 3: logits of a larger teacher on image crops, without decoupling (every region against all classes).
_base_ = '../densevlm/pretrain_coco.py'

model = dict(loss=dict(thing_contrast='all'))
default_hooks = dict(
    teacher=dict(
        _delete_=True,
        type='CropTeacherHook',
        with_logits=True,
        teacher=dict(
            type='DenseImageEncoder', model_name='EVA02-L-14-336', checkpoint='weights/EVA02_CLIP_L_336_psz14_s6B.pt'),
        batch_size=64))  # crops of 336 pixels
