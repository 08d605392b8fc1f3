"""Vision models and interviews for other programs: OpenAI's clients and agents that speak MCP."""
