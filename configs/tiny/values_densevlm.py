# DenseVLM on the value dense path; the teacher keeps its own. A gate:
# --cfg-options model.encoder.dense_path.gate=True
_base_ = './densevlm.py'

model = dict(encoder=dict(dense_path=dict(type='values', layers=2, gate=False)))
