"""Dagster resources: they turn settings into a bucket, a lake and its stages, and hold no logic."""
