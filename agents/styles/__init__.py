"""Texts for other uses than a description, written from the answers of one interview: alt text, tags, captions."""
