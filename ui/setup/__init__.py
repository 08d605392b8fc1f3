"""Models that a person has set up in the dashboard: what they are, where their keys are kept, and whether they work."""
