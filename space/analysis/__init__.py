"""space/analysis."""
