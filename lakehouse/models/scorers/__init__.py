"""Scores of clips: what is measured, and what models think. One file a backend."""
