"""Networks that a product learns from scratch, in PyTorch: a file each, to be read from top to bottom.

All give logits (n, outputs), never probabilities: losses and heads apply the link. None is imported by serving, which
runs the ONNX file that `export` writes.
"""
