"""Files on disk: atomic writes, journals, paths, model directories."""
