"""What the backends on transformers share: opening checkpoints, load options, memory, batching."""
