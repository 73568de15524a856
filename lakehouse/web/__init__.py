"""The clip browser: pages and JSON over the lake, and clips streamed from the bucket.

`app` puts it together. What pages show is a model of `models`, filled by `listing`, `clip` and
`day` from the tables of `reading`; bytes of footage are `streaming` and `previews`, clips as files
are `exports`. Nothing here writes to the lake or the bucket.
"""
