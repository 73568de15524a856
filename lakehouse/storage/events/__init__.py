"""What a bucket tells of its objects: read, kept until it was heeded, and taken from where it lies.

An event says where to look and never what is there: it may come twice, late, in the wrong order
or not at all. What it leads to is for who takes it.
"""
