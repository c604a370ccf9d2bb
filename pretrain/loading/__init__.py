"""Loading of pretraining data: from sources to the batches of each step, with a record of unreadable pictures."""
