"""The lake: what its tables are, which of their rows need work, and how rows are written."""
