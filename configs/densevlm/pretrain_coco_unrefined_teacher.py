# An ablation of ours: the teacher as EVA-CLIP published it, not refined by CLIPSelf.
_base_ = './pretrain_coco.py'

default_hooks = dict(teacher=dict(teacher=dict(checkpoint='weights/EVA02_CLIP_L_336_psz14_s6B.pt')))
