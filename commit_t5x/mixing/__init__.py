"""Text and words: dictionaries, segmenters, the mixer; no tokens, no arrays."""
