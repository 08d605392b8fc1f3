"""Pictures with their texts, from whatever people keep them in, as one endless and exactly resumable stream.

    spec.py     what a user writes: path, kind, weight, columns
    stream.py   open_stream(specs, seed=...) -> SampleStream
    check.py    inquisight data check PATH

Nothing is imported here, so that declaring the commands costs nothing.
"""
