"""ONNX export of dense models: segmentation, depth and detection."""
