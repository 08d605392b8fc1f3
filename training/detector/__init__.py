"""Where the weights of `detector` come from."""
