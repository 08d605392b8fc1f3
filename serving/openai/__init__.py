"""The server for clients of OpenAI's Chat Completions."""
