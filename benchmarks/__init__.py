"""Performance claims as commands: each prints its figures beside a peer, the last line as JSON."""
