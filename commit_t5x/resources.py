"""Where the files that are not modules lie: gin files, dictionaries, prompts, samples, ..."""

import pathlib

_PACKAGE = pathlib.Path(__file__).resolve().parent


def path(name: str) -> pathlib.Path:
    """Returns the folder `name` ("gin", "dicts", "tasks", "data", "samples", ...).

    An installed wheel carries each folder inside the package; a checkout keeps the first three
    beside it.

    Example:
      >>> path("gin").joinpath("quickstart.gin").is_file()
      True
    """
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
