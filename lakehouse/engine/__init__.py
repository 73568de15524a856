"""Running stages: what is planned, made and committed. Local threads now."""
