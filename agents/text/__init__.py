"""Checks of what models wrote: cleaning, attribution to answers, export."""
