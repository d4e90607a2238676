"""train/pipeline."""
