"""The checkable statements of a caption, and the sentences of a summary that no answer supports.

Both are found by rules, in English.
"""
