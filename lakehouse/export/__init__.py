"""A selection of clips as files in a folder, with a manifest. One clip alone is `query.clip`."""
