# The same segmentor over the encoder that configs/tiny/densevlm.py trained: only the image encoder's checkpoint changes.
# Run make demo first, or tools/train.py configs/tiny/densevlm.py with --work-dir work_dirs/demo/train.
_base_ = './cat_seg_original.py'

model = dict(image_encoder=dict(checkpoint='work_dirs/demo/train/iter_300.pth'))
