"""What the pages have in common: visitors, their work and pictures, the models they share, words and looks."""
