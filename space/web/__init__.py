"""space/web."""
