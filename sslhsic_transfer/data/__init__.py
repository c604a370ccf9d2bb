"""Reading of data: single pictures, folders, sources by address, and labeled data in `labelled`."""
