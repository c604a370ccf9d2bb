"""Throw-away examples: each is the one file that an addition takes; its row is set in `test_additions.py`."""
