"""Baselines of the benchmarks, each used as its own documentation shows."""
