"""Vision models as LangChain chat models."""
