"""Pictures with texts, for training: every source as parts that are read in order, and any sample again."""
