"""Evidence from witnesses: which of them take part, what they found, and the picture with boxes."""
