"""Checks of what models wrote: cleaning, attribution to answers, claims and contradictions, export."""
