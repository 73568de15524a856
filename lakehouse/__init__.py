"""The library of Kennel: from footage in a bucket to Lance tables, usable without Dagster.

Nothing under this package imports Dagster, `resources` or `assets`.
"""
