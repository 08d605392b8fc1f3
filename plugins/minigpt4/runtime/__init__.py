"""Run a converted MiniGPT-4: load, encode, answer in batches, chat."""
