"""Networks on their way to torch, ONNX and C, and from torch and ONNX back."""
