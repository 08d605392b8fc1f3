"""The steps of a curation: generate, paraphrase, repair; each as a process that can be resumed."""
