"""Dense models to ONNX: segmentation, depth and detection."""
