"""What T5X needs to run our gin files; the only package that knows T5X."""
