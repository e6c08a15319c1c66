"""What T5X needs to run our gin files; the only package that knows T5X."""

try:
    import t5x.utils as _  # noqa: F401
except ImportError as error:
    raise ImportError(f"T5X isn't installed ({error}); docs/t5x.md tells how") from error
