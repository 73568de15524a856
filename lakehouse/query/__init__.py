"""Reading the lake: SQL views, verdicts, the ledger, and search."""
