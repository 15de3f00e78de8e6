# CLIPSelf with region proposals instead of grid cells.
_base_ = '../densevlm/pretrain_coco_proposals.py'

model = dict(loss=dict(_delete_=True, type='FeatureDistillationLoss'))
default_hooks = dict(
    teacher=dict(
        _delete_=True,
        type='CropTeacherHook',
        teacher=dict(
            type='DenseImageEncoder', model_name='EVA02-B-16', checkpoint='weights/EVA02_CLIP_B_psz16_s8B.pt')))
