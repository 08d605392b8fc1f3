"""Convert the original's weights into one transformers directory."""
