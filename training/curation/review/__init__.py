"""Labels and edits by people."""
