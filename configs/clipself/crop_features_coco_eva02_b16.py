# Table 2, features of a larger teacher on crops. Its space has 768 dimensions, the student's 512: a linear layer that
# learns with the student joins them (how the paper does is not known to us).
_base_ = './clipself_coco_eva02_b16.py'

model = dict(loss=dict(projection=(512, 768)))
default_hooks = dict(
    teacher=dict(
        teacher=dict(model_name='EVA02-L-14-336', checkpoint='weights/EVA02_CLIP_L_336_psz14_s6B.pt'),
        batch_size=64))  # crops of 336 pixels
# From an orthogonal start, 1e-5 would hardly move the layer: 1e-3 for it.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'loss_module.projection': dict(lr_mult=100.)}))
