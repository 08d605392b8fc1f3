"""The interview: two models talk about a picture, and the command line that lets them."""
