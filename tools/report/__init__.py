"""Pretraining experiments of the paper and of ours on TinyScenes, on one page; tools/reproduce_tiny.py runs it."""
