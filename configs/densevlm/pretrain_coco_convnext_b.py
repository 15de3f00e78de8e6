# ConvNeXt-B as student (Table 6), stride 32. Which of OpenCLIP's weights the paper takes is not known to us; these are
# of LAION-2B.
_base_ = './pretrain_coco_rn50x4.py'

model = dict(
    encoder=dict(model_name='convnext_base_w', checkpoint='open_clip:laion2b_s13b_b82k'))
