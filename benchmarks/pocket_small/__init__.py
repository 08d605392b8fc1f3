"""The paper's measurements on the built-in model: both stages, curation, and ablations.

    python -m benchmarks.pocket_small SOURCES OUT

See `docs/pocket-small.md` and `benchmarks.pocket_small.__main__`.
"""
