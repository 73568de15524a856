"""Capabilities that a model can bring, one folder each, one file a backend."""
