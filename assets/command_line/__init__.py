"""The command `lakehouse`: it wires the library and Dagster together, and holds no logic.

One file a group of commands. Mistakes of the user are one line on stderr and exit code 2.
"""
