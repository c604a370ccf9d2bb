"""Adapters that use an encoder in other frameworks, with one folder for each framework, and shared code."""
