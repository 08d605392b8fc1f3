"""Data for `inquisight evaluate` out of composed scenes and of photographs from packages."""
