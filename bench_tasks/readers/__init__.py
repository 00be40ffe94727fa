"""Readers, one module for each format of the field.

Each has ``recognises(path) -> bool``, a cheap look at names and first bytes, and ``read(path) -> Suite``, of a folder or of one
task; what can't be read becomes an `Unreadable`. Where one path gives several tasks and one of them is meant when a single task
is asked for, it has ``read_one(path) -> Task`` too. None of them ever runs the code that it reads.
"""
