"""A vision model in a process and environment of its own, restarted when it dies."""
