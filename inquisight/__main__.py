"""`python -m inquisight`: the command `inquisight`."""

from core.launch import main

if __name__ == "__main__":
    main()
