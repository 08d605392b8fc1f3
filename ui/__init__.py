"""The dashboard: pages, and what they share. What the command line needs too is in `agents`."""
