"""The command `inquisight new-plugin`: a plugin's package written from `templates/`, one folder per kind."""
