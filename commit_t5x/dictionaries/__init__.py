"""Bilingual dictionaries as files: read, check, fetch."""
