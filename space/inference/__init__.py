"""space/inference."""
