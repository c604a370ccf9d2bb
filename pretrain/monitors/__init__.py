"""Eyes on a run: embeddings, gradient and memory at each logged step, probes every few epochs, the progress bar."""
