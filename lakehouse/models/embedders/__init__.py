"""Vectors for clips: the protocol, and one file a backend."""
