"""How well the audit finds what is false in captions, on composed scenes and on real photographs."""
