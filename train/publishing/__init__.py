"""train/publishing."""
