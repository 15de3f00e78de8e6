"""The paper's pretraining experiments on TinyScenes, rerun and put on one page; tools/reproduce_tiny.py runs it."""
