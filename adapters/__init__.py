"""Adapters that put an encoder into other frameworks, one folder a framework: none yet, but what they will share."""
