"""Tensors in, figures out: classification of embeddings, ranks, mIoU, average precision, depth."""
