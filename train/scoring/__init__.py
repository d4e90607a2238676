"""train/scoring."""
