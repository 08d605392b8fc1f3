"""Claims of captions: what a person finds in them, and what the rules find."""
