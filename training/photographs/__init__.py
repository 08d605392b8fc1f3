"""Real photographs out of packages, with labels made by looking at them: to train scene words and to measure sight."""
