"""train/augmentation."""
