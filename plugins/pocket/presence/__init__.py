"""Evidence that a thing is in a photograph, for questions that take only "yes" or "no"."""
