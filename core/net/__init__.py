"""Talking to model servers: endpoints and keys, retries, replies taken apart and checked."""
