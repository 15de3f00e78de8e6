# CLIPSelf (arXiv 2310.01403) on COCO: the frozen initial student on image crops (Table 2, self-distillation).
# Everything but teacher and loss is as in configs/densevlm/pretrain_coco.py.
_base_ = '../densevlm/pretrain_coco.py'

model = dict(loss=dict(_delete_=True, type='FeatureDistillationLoss'))
default_hooks = dict(
    teacher=dict(
        _delete_=True,
        type='CropTeacherHook',
        teacher=dict(
            type='DenseImageEncoder', model_name='EVA02-B-16', checkpoint='weights/EVA02_CLIP_B_psz16_s8B.pt')))
