"""The checks of `tools/gpu_check.py`: one file for each subject; `table.py` lists them, `runner.py` runs them."""
