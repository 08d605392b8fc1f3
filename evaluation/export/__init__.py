"""Write the questions of a task in the formats of other evaluation programs."""
