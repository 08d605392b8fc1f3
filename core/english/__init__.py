"""English for rules: words and their kinds after WordNet."""
