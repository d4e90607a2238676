"""Measurements on data of one's own, each a command that writes a file in `results/`."""
