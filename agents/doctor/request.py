"""The options of `inquisight doctor`; the docstring below a field is its help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """Check the installation, and which models run here."""

    json: bool = False
    """Print the report as one JSON object."""
    connect: bool = False
    """Also ask the configured servers for their models."""
