"""What the commands print: events as text for a terminal, progress, JSON."""
