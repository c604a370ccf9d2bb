"""Adapters that put an encoder into other frameworks, one folder a framework, and what they share."""
