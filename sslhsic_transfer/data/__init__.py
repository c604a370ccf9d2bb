"""Pictures in: one picture, folders of them, and sources by address; labelled data below `labelled`."""
