"""The command `inquisight`: one module per command, `render/` for what a terminal shows."""
