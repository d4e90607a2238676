"""train/modeling."""
