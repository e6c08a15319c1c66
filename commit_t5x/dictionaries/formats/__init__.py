"""Readers of the formats that dictionaries come in; `importing.FORMATS` lists them.

Each is a function from a `jobs.Job` to the records it finds, read one after the other.
"""
