"""A vision model in its own process and environment."""
