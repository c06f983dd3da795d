"""How a model file runs on this machine: threads, sessions, batches, safety of ONNX files."""
