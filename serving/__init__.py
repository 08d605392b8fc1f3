"""The server: vision models and interviews for every client of OpenAI's Chat Completions."""
