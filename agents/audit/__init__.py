"""The audit: each claim of a caption is asked about alone, scored, and judged; false ones are marked or taken out."""
