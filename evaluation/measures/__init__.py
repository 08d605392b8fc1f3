"""Parsers of answers and formulas of measures, which need no model."""
