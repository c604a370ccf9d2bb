"""Eyes on a run: figures of each logged step, probes every few epochs, the progress bar, curves of several runs."""
