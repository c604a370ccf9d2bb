"""Execution of exported files with NumPy, Pillow and ONNX Runtime, without torch."""
