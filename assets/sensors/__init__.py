"""The sensors: of new and removed footage, of a bucket's events, and of changed code."""
