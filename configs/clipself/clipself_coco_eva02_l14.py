# CLIPSelf on EVA02-CLIP ViT-L/14-336: makes a teacher for configs/densevlm, the larger one of Table 5.
_base_ = '../densevlm/pretrain_coco_eva02_l14.py'

model = dict(loss=dict(_delete_=True, type='FeatureDistillationLoss'))
default_hooks = dict(
    teacher=dict(
        _delete_=True,
        type='CropTeacherHook',
        teacher=dict(
            type='DenseImageEncoder', model_name='EVA02-L-14-336', checkpoint='weights/EVA02_CLIP_L_336_psz14_s6B.pt'),
        batch_size=64))
