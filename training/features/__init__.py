"""Features of the frozen vision half: encoded once, stored on disk, read while training."""
