"""Language models: opening one by name, its calls, usage counts, repairs of texts."""
