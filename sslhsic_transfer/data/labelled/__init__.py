"""Readers of labeled data sets in their usual layouts, shared by all frameworks."""
