"""COMMIT: code-mixing English-centric LLaMA-family models for low-resource languages."""

__version__ = "0.1.0"
