"""Runs over the pictures of a folder: the batch engine with its journal, in a process that outlives the dashboard."""
