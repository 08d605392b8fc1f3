"""`inquisight captions`: the captions of a folder, listed, changed and exported."""
