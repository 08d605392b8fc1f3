"""Labelled images, read from the formats that people have."""
