"""Captions of a folder for other programs."""
