"""XMP sidecars: read and edited with lxml; what is not ours stays as it is."""
