"""Monitoring of runs: training health, online evaluation and plots of training curves."""
