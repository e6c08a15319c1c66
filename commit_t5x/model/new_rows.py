"""What `commit-t5x vocab extend` says of a model's rows."""

FILE = "vocabulary_extension.json"
