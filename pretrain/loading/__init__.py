"""From sources to the batches of each step: what is read when, by which process, and what becomes of damage."""
