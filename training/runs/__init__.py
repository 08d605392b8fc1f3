"""Runs on disk: checkpoints, logs, progress; found, started, watched and resumed."""
