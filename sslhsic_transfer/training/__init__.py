"""Parts that every training run shares, of an encoder or of a task."""
