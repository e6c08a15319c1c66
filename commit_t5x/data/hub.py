"""Records from the Hugging Face hub and from TFDS.

What the hub holds is downloaded once, into its own cache, from which later epochs and runs read it.
"""

import contextlib
import itertools
import pathlib
from collections.abc import Iterator

from commit_t5x.data.records import Item, Shard, file_shard, first_line
from commit_t5x.errors import InputError

# The branch on which the hub keeps a data set as Parquet: CONFIGURATION/SPLIT/0000.parquet, ...
_CONVERTED = "refs/convert/parquet"

_ROWS = 64  # read at a time: documents may be large


def find(name: str, configuration: str | None, split: str, macro: str) -> list[Shard]:
    """Returns the shards of a data set on the hub, or in TFDS (`tfds:NAME`).

    A data set that is a loading script, which `datasets` no longer runs, is read from the hub's own
    conversion of it to Parquet.

    Args:
      name: of the data set.
      configuration: its configuration, such as "20230601.hi"; None for the default one.
      split: "train", "validation" or "test".
      macro: the gin macro that named it, for messages.

    Raises:
      InputError: there is no such data set, configuration or split, or the hub doesn't answer.
    """
    if name.startswith("tfds:"):
        return [_of_tfds(name, configuration, split, macro)]
    # A look at whether the hub answers at all takes a second; `datasets` would try for a minute.
    # Without an answer it still finds what an earlier run has left in its cache.
    with _offline_unless(_answers(name)):
        return _load(name, configuration, split, macro)


@contextlib.contextmanager
def _offline_unless(answers: bool) -> Iterator[None]:
    """Makes the hub's libraries look at their caches alone, but not for longer than this."""
    import datasets  # here, like the others: they take seconds to load
    import huggingface_hub

    modules = (datasets.config, huggingface_hub.constants)
    before = [module.HF_HUB_OFFLINE for module in modules]
    for module in modules:
        module.HF_HUB_OFFLINE = any(before) or not answers
    try:
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


def _load(name: str, configuration: str | None, split: str, macro: str) -> list[Shard]:
    import datasets
    import huggingface_hub

    try:
        rows = datasets.load_dataset(name, configuration, split=split)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise InputError(f"{macro}: the hub has no data set {name!r}; check the name") from error
    except RuntimeError as error:  # a loading script
        if shards := _converted(name, configuration, split):
            return shards
        raise InputError(
            f"{macro}: {name!r} on the hub: {first_line(error)}, and {_CONVERTED} holds no "
            f"{configuration or 'default'}/{split}; set {macro} to another data set or local files"
        ) from error
    except (ConnectionError, huggingface_hub.errors.HfHubHTTPError) as error:
        if shards := _converted(name, configuration, split):
            return shards
        raise InputError(
            f"{macro}: {name!r} cannot be had from the Hugging Face hub (no answer); with no "
            f"network, download it elsewhere and set {macro} to the local file or folder"
        ) from error
    except (
        datasets.exceptions.DatasetsError,
        FileNotFoundError,  # no data files
        ValueError,  # no such configuration or split
    ) as error:
        raise InputError(f"{macro}: {name!r} on the hub: {first_line(error)}") from error

    def read() -> Iterator[tuple[int, Item]]:
        tables = rows.with_format("arrow").iter(_ROWS)  # many times as fast as row by row
        every = itertools.chain.from_iterable(table.to_pylist() for table in tables)
        for number, row in enumerate(every):
            yield number, Item(f"{name}: row {number}", row)

    return [Shard(name, read)]


def _converted(name: str, configuration: str | None, split: str) -> list[Shard]:
    """Returns the Parquet files of the hub's conversion, or an empty list if there are none."""
    import huggingface_hub

    pattern = f"{configuration or 'default'}/{split}/*.parquet"
    try:
        folder = huggingface_hub.snapshot_download(
            name, repo_type="dataset", revision=_CONVERTED, allow_patterns=pattern
        )
    except (huggingface_hub.errors.HfHubHTTPError, huggingface_hub.errors.LocalEntryNotFoundError):
        return []
    return [file_shard(str(path)) for path in sorted(pathlib.Path(folder).glob(pattern))]


def _answers(name: str) -> bool:
    import httpx2  # the hub client's own HTTP library
    import huggingface_hub

    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=10)
    except (httpx2.TransportError, huggingface_hub.errors.OfflineModeIsEnabled):
        return False
    except (huggingface_hub.errors.HfHubHTTPError, ValueError):
        return True  # it answered, or the name can't be; `datasets` says what is wrong
    return True


def _of_tfds(name: str, configuration: str | None, split: str, macro: str) -> Shard:
    import tensorflow_datasets as tfds  # here: it takes seconds to load

    builder = "/".join(filter(None, (name.removeprefix("tfds:"), configuration)))
    try:
        # Preparing a data set takes its own tools, a network, and for Wikipedia hours.
        rows = tfds.load(builder, split=split, download=False)
    except (AssertionError, ValueError, OSError) as error:  # unprepared, unknown, unreadable
        raise InputError(
            f"{macro}: TFDS holds no prepared {builder!r} ({type(error).__name__}); prepare "
            f"it with `tfds build`, or set {macro} to a local file"
        ) from error

    def read() -> Iterator[tuple[int, Item]]:
        for number, row in enumerate(tfds.as_numpy(rows)):
            texts = {k: v.decode("utf-8") for k, v in row.items() if isinstance(v, bytes)}
            yield number, Item(f"{builder}: record {number}", texts)

    return Shard(builder, read)
