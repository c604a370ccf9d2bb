"""Running exported files: NumPy, Pillow and ONNX Runtime; no torch."""
