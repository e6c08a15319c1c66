"""What SeqIO reads: examples as a data source that can be sharded, and the task around it."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import seqio
import tensorflow as tf

from commit_t5x.data.records import Record
from commit_t5x.data.sources import Examples
from commit_t5x.errors import InputError

_CHUNK = 64  # examples handed over to tf.data at once; more gains nothing


class _Positions(seqio.ShardInfo):
    """Shard i of n by position: the examples i, i + n, i + 2n, ..."""


class Task(seqio.Task):
    """A SeqIO task whose shards are the same examples however many files these lie in.

    Put together, the examples of shards 0 to n - 1 in turn are those of the task unsharded.
    """

    def get_dataset(self, *args, shard_info: seqio.ShardInfo | None = None, **kwargs):
        if shard_info:
            shard_info = _Positions(shard_info.index, shard_info.num_shards)
        return super().get_dataset(*args, shard_info=shard_info, **kwargs)

    def assert_cached(self) -> None:
        """Raises InputError if no cache folder holds the task."""
        if not self.cache_dir:
            folders = ", ".join(seqio.get_global_cache_dirs()) or "none"
            raise InputError(
                f"{self.name}: not cached in --seqio_additional_cache_dirs ({folders}); run "
                "seqio_cache_tasks, or set USE_CACHED_TASKS to False"
            )


class ExampleSource(seqio.DataSource):
    """Examples read by Python code, in the order of the data; SeqIO shuffles them.

    Args:
      examples: split -> examples. It is called at each use, so that it may look at what gin has
        configured by then.
      fields: the shape of each field, () for a string and (None,) for a list of strings. Besides
        these an example has `index`, int64, its place in the data.
      splits: returns the names of the splits.

    Example:
      >>> source = ExampleSource(sources.alpaca_examples, {"output": ()}, lambda: ("train",))
      >>> next(source.get_dataset("train").as_numpy_iterator())
      {'index': 0, 'output': b'...'}
    """

    def __init__(
        self,
        examples: Callable[[str], Examples],
        fields: Mapping[str, tuple[int | None, ...]],
        splits: Callable[[], Sequence[str]],
    ):
        super().__init__(splits=())
        self._examples = examples
        self._fields = dict(fields)
        self._current_splits = splits

    @property
    def splits(self) -> Sequence[str]:
        return self._current_splits()

    @property
    def supports_arbitrary_sharding(self) -> bool:
        return True

    def list_shards(self, split: str) -> list[str]:
        """Returns the names of the files; Beam works on several of them at the same time."""
        return [shard.name for shard in self._examples(split).shards]

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        *,
        sequence_length: Mapping[str, int] | None = None,
        use_cached: bool = False,
        num_epochs: int | None = 1,
    ) -> tf.data.Dataset:
        """Returns the examples of a split.

        Args:
          split: one of `splits`.
          shard_info: shard i of n has the examples at the positions i, i + n, i + 2n, ...; unless
            n is the number of `list_shards`: then it is the i-th of these, as Beam has it.
            (`Task` asks for examples by position in any case.)
          shuffle, seed, sequence_length, use_cached, num_epochs: SeqIO's; not looked at.

        Raises:
          InputError: there is no such split, a file is missing, or the first example is broken.
            What is broken further on comes out of tf.data, as an error of its own that quotes the
            InputError.
        """
        if split not in self.splits:
            raise InputError(f"split {split!r}: the data has {' and '.join(self.splits)} only")
        examples = self._examples(split)
        # Beam asks for as many shards as `list_shards` has names, and wants a file for each.
        by_file = (
            shard_info is not None
            and not isinstance(shard_info, _Positions)
            and shard_info.num_shards == len(examples.shards)
        )

        def rows() -> Iterator[tuple[int, Record]]:
            if by_file:
                return examples.indexed(shard_info.index)
            first, step = (shard_info.index, shard_info.num_shards) if shard_info else (0, 1)
            return itertools.islice(examples.indexed(), first, None, step)

        next(rows(), None)  # errors in where the data lies come out here, not from within the graph
        return self._dataset(rows)

    def _dataset(self, rows: Callable[[], Iterator[tuple[int, Record]]]) -> tf.data.Dataset:
        # Chunks go over to tf.data as columns of strings: lists in there would have to be of one
        # length, so they go one example at a time.
        size = 1 if any(self._fields.values()) else _CHUNK

        failed: list[InputError] = []

        def chunks() -> Iterator[dict[str, list]]:
            # After an error tf.data goes on asking, which must not read the data anew each time.
            if failed:
                raise failed[0]
            remaining = rows()
            try:
                while chunk := list(itertools.islice(remaining, size)):
                    columns = {field: [row[field] for _, row in chunk] for field in self._fields}
                    yield {"index": [index for index, _ in chunk], **columns}
            except InputError as error:
                failed.append(error)
                raise

        signature = {
            field: tf.TensorSpec((None, *shape), tf.string) for field, shape in self._fields.items()
        }
        signature["index"] = tf.TensorSpec((None,), tf.int64)
        return tf.data.Dataset.from_generator(chunks, output_signature=signature).unbatch()
