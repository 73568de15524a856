"""Captioners: one file a backend, `registry` to choose one by its settings."""
