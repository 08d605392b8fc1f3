"""The command `inquisight audit`."""
