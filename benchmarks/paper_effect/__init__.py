"""Does one linear layer do it? Both stages of MiniGPT-4 between pocket's vision model and a real frozen chat model."""
