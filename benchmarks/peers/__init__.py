"""The alternatives that the benchmarks compare with, each used as its own documentation shows."""
