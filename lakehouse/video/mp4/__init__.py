"""MP4 and MOV files by their boxes: what their index says, and clips cut out of them as bytes."""
