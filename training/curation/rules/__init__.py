"""Rules that fix or drop texts, and the measures they use."""
