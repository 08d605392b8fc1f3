"""One module per task: what it asks, and how answers and captions become figures."""
