"""The LangChain agent that answers a question about pictures with tools."""
