"""Readers of dense data sets in their usual layouts, for every framework alike."""
