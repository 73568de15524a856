"""Where raw footage lies: a local folder or an S3-compatible bucket, behind one interface."""
