"""The small files that travel with a model's weights."""

import pathlib

from commit_t5x.vocabularies import tokenizer_files

GENERATION = "generation_config.json"


def read(directory: pathlib.Path) -> dict[str, bytes]:
    """Returns a directory's tokenizer files and generation_config.json, by file name.

    Raises:
      InputError: the tokenizer is broken; see `tokenizer_files.read`.
    """
    found = tokenizer_files.find(directory)
    files = tokenizer_files.read(found) if found is not None else {}
    generation = directory / GENERATION
    if generation.is_file():
        files[GENERATION] = generation.read_bytes()
    return files
