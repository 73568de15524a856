"""The steps from footage to rows, one file each: what a stage reads, makes and is versioned by."""
