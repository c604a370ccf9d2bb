"""Readers of labelled data sets in their usual layouts, for every framework alike."""
