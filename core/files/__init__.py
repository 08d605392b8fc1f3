"""Files on disk: atomic writes, journals, sidecars, paths, model directories."""
