"""`inquisight doctor`: what is installed, which models can run on this machine, and what each of them still needs."""
