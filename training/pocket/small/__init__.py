"""What the paper measured, in small: both stages, curation and their ablations on the embedded model.

    python -m training.pocket.small SOURCES OUT

See `docs/pocket-small.md` and `training.pocket.small.__main__`.
"""
