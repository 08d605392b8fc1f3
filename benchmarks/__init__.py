"""Reproducible measurements; each prints a Markdown table."""
