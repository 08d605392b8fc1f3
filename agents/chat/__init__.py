"""Chat with a vision model: `conversation`, `tree` (branches), `presets`, `repl` (terminal)."""
