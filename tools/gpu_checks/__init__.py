"""The checks of `tools/gpu_check.py`: one file an idea; `table.py` lists them, `runner.py` runs them."""
