"""Dagster definitions and the command line: thin, over `resources` and `lakehouse`."""
