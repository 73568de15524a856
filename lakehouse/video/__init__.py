"""Reading footage: what a file is, its one decode pass, and lossless cuts of it."""
