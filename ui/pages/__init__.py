"""The pages of the dashboard, each a function `page()`."""
