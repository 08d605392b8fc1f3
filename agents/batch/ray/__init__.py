"""`--engine ray`: a batch on a cluster. Imported only when that engine is chosen."""
