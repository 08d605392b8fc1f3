"""The interview: `protocol` (state machine without I/O), `driver` (one picture), `live` (steered by a person)."""
