"""What the paper measured, in small: both stages, curation and their ablations on the embedded model.

    python -m benchmarks.pocket_small SOURCES OUT

See `docs/pocket-small.md` and `benchmarks.pocket_small.__main__`.
"""
