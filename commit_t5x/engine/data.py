"""Batches from SeqIO, and the exact position in them."""

import contextlib
import dataclasses
import errno
import functools
import json
import pathlib
import re
import time
from collections.abc import Callable, Iterator

import numpy as np
import seqio
import tensorflow as tf
from absl import logging

from commit_t5x import errors
from commit_t5x.engine import providers, utils
from commit_t5x.errors import InputError
from commit_t5x.mixing import counts

FeatureConverterCls = Callable[..., seqio.FeatureConverter]
NumpyBatch = dict[str, np.ndarray]

_POSITION_FILE = "position.json"
_ITERATOR_FILES = "iterator"
_BATCHES_AHEAD = 4


def get_rows(
    cfg: utils.DatasetConfig, feature_converter_cls: FeatureConverterCls, num_epochs: int | None
) -> tf.data.Dataset:
    """Returns rows with the model's features, each [length].

    Args:
      cfg: what to read.
      feature_converter_cls: called with `pack`.
      num_epochs: passes over the data; None for no end.

    Raises:
      InputError: no such task, or no such split.
    """
    provider = providers.get_mixture_or_task(cfg)
    providers.check_split(provider, cfg.split)
    if num_epochs is None or isinstance(provider, seqio.Task):
        return _rows(provider, cfg, feature_converter_cls, num_epochs)
    # SeqIO's mixture ends with the first of its tasks that ends: one pass has all rows of each.
    tasks = providers.tasks_with_split(provider, cfg.split)
    parts = [_rows(task, cfg, feature_converter_cls, num_epochs) for task in tasks]
    return functools.reduce(tf.data.Dataset.concatenate, parts)


def _rows(
    provider: seqio.Task | seqio.Mixture,
    cfg: utils.DatasetConfig,
    feature_converter_cls: FeatureConverterCls,
    num_epochs: int | None,
) -> tf.data.Dataset:
    return seqio.get_dataset(
        mixture_or_task_name=provider,
        task_feature_lengths=cfg.task_feature_lengths,
        feature_converter=feature_converter_cls(pack=cfg.pack),
        dataset_split=cfg.split,
        use_cached=cfg.use_cached,
        shuffle=cfg.shuffle,
        num_epochs=num_epochs,
        seed=cfg.seed,
        trim_output_features=cfg.trim_output_features,
        verbose=False,
    )


def _ahead(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Has tf.data prepare a few batches ahead.

    Without its tuning of that number, whose thread sleeps for up to a minute, and isn't always
    woken where a run ends, which then waits for it.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(_BATCHES_AHEAD).with_options(options)


_UNREADABLE = (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.PermissionDeniedError)


@contextlib.contextmanager
def _plain_errors(cfg: utils.DatasetConfig) -> Iterator[None]:
    """Raises what tf.data says of files that it can't read as an InputError.

    An InputError of a task's Python code comes out as such, and so does an assertion on examples;
    tf.data reports both as its own kind.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if message := errors.message(error):
            raise InputError(message) from error
        name = providers.get_mixture_or_task(cfg).name
        failed = re.search(r"assertion failed: \[(.*)\]$", error.message, re.MULTILINE)
        if failed:  # [what must hold: of what numbers:] [98] [64]
            raise InputError(f"{name}: {failed[1].replace('] [', ' ')}") from error
        if not isinstance(error, _UNREADABLE):
            raise
        reason = re.sub(r"{{.*?}} | \[Op:.*", "", error.message.partition("\n")[0])
        raise InputError(
            f"{name}: a file of the split '{cfg.split}' can't be read "
            f"({reason}){_caches(cfg)}; put a copy in its place, or write it anew, and run the "
            "same command again"
        ) from error


def _caches(cfg: utils.DatasetConfig) -> str:
    """Returns " in FOLDER" for a cached task, or ""."""
    provider = providers.get_mixture_or_task(cfg)
    folders = [task.cache_dir for task in seqio.get_subtasks(provider) if task.cache_dir]
    return f" in {' or '.join(folders)}" if cfg.use_cached and folders else ""


class TrainIterator:
    """Yields training batches without end; its position can be saved and restored exactly.

    tf.data prepares batches ahead on its own threads. The position is that of the last batch which
    was handed out, whatever was prepared beyond.

    Where tf.data can serialise the pipeline's state (shuffle buffer, half-filled rows, ...), that
    state is saved, and restoring is immediate. Where it can't (a Python generator in the pipeline,
    for one) the same number of batches is read and dropped on restoring, which takes longer and
    ends at the same place, as the pipeline is deterministic.

    Args:
      cfg: what to read; `seed` must be set.
      feature_converter_cls: called with `pack`.

    Attributes:
      features: the names of what a batch has.
      batches: number of batches handed out since the beginning of the data.
      batch_shape: rows and tokens of a row.
      seconds_waited: time spent waiting for batches in this process.
      counts: of words and examples in this process, for what was prepared ahead, too; none if
        cached tasks are read.
    """

    def __init__(self, cfg: utils.DatasetConfig, feature_converter_cls: FeatureConverterCls):
        self._cfg = cfg
        self._feature_converter_cls = feature_converter_cls
        self._serialisable = True
        self.batches = 0
        self.seconds_waited = 0.0
        # With Python code tf.data can't save the state; uncached tasks have some in any case.
        self.counts = counts.Counts(of_words=not cfg.use_cached)
        self._start(skip=0)

    @property
    def name(self) -> str | None:
        """Of the task or mixture."""
        return self._cfg.name

    def _start(self, skip: int) -> None:
        # Built anew each time: a second iterator over one tf.data.Dataset shuffles differently.
        with counts.counting(self.counts):
            rows = get_rows(self._cfg, self._feature_converter_cls, num_epochs=None)
        self.features = tuple(rows.element_spec)
        self.batch_shape = (self._cfg.batch_size, *next(iter(rows.element_spec.values())).shape)
        batches = rows.batch(self._cfg.batch_size, drop_remainder=True).skip(skip)
        self._iterator = iter(_ahead(batches))

    def __iter__(self) -> Iterator[NumpyBatch]:
        return self

    def __next__(self) -> NumpyBatch:
        start = time.perf_counter()
        with _plain_errors(self._cfg):
            batch = next(self._iterator, None)
        self.seconds_waited += time.perf_counter() - start
        if batch is None:
            raise providers.no_examples(self._cfg)
        self.batches += 1
        return {name: tensor.numpy() for name, tensor in batch.items()}

    def save(self, directory: pathlib.Path) -> None:
        """Writes the position to files in an existing folder."""
        if self._serialisable:
            try:
                tf.train.Checkpoint(iterator=self._iterator).write(str(directory / _ITERATOR_FILES))
            except (tf.errors.FailedPreconditionError, tf.errors.UnimplementedError) as error:
                logging.info("The data position is saved as a number of batches: %s", error.message)
                self._serialisable = False
            except tf.errors.OpError as error:  # of the disk, under TensorFlow's names
                raise OSError(errno.EIO, error.message.partition("\n")[0]) from error
        position = {"batches": self.batches, "serialised": self._serialisable}
        (directory / _POSITION_FILE).write_text(json.dumps(position), encoding="utf-8")

    def restore(self, directory: pathlib.Path) -> None:
        """Continues where `save` was called; data_record says whether on the same data."""
        position = json.loads((directory / _POSITION_FILE).read_text(encoding="utf-8"))
        begun, self.batches = self.batches > 0, position["batches"]
        if position["serialised"]:
            if begun:
                self._start(skip=0)
            checkpoint = tf.train.Checkpoint(iterator=self._iterator)
            try:
                checkpoint.read(str(directory / _ITERATOR_FILES)).assert_consumed()
                return
            # The latter two are TensorFlow's for a truncated file.
            except (tf.errors.OpError, IndexError, ValueError) as error:
                logging.warning("%s: %s; reading the data again instead", directory, error)
        self._start(skip=self.batches)


def eval_batches(
    cfg: utils.DatasetConfig,
    feature_converter_cls: FeatureConverterCls,
    num_batches: int | None = None,
) -> Iterator[tuple[NumpyBatch, int]]:
    """Yields one pass over the data as batches of one size, and the number of rows in each.

    The last batch is filled up with rows of zeros.

    Args:
      cfg: what to read.
      feature_converter_cls: called with `pack`.
      num_batches: batches to stop after; None for all.
    """
    if cfg.task_feature_lengths is None:
        cfg = dataclasses.replace(cfg, task_feature_lengths=longest_features(cfg))
    with counts.counting(counts.Counts()) as counted:
        rows = get_rows(cfg, feature_converter_cls, num_epochs=1).batch(cfg.batch_size)
    rows = _ahead(rows.take(-1 if num_batches is None else num_batches))
    with _plain_errors(cfg):
        for batch in rows.as_numpy_iterator():
            count = len(next(iter(batch.values())))
            filling = ((0, cfg.batch_size - count), (0, 0))
            yield {name: np.pad(feature, filling) for name, feature in batch.items()}, count
    if note := counted.summary():
        logging.warning("%s: %s", cfg.name, note)


def get_examples(cfg: utils.DatasetConfig, task: seqio.Task) -> Iterator[NumpyBatch]:
    """Yields a task's examples, before any feature conversion, in order.

    Args:
      cfg: split and lengths; examples aren't cut if the lengths are None.
      task: the task itself, or a part of the mixture that `cfg` names.
    """
    providers.check_split(task, cfg.split)
    dataset = task.get_dataset(
        sequence_length=cfg.task_feature_lengths,
        split=cfg.split,
        use_cached=cfg.use_cached,
        shuffle=False,
        seed=cfg.seed,
        trim_output_features=cfg.task_feature_lengths is not None,
    )
    with _plain_errors(cfg):
        yield from dataset.as_numpy_iterator()


def longest_features(cfg: utils.DatasetConfig) -> dict[str, int]:
    """Returns, for each feature of the task or mixture, a length that holds every example.

    "row" is a length that holds every example's features together. Lengths are rounded up to a
    multiple of 16.
    """
    provider = providers.get_mixture_or_task(cfg)
    longest = dict.fromkeys([*provider.output_features, "row"], 0)
    for task in seqio.get_subtasks(provider):
        for example in get_examples(cfg, task):
            sizes = {name: len(example.get(name, ())) for name in provider.output_features}
            sizes["row"] = sum(sizes.values())
            longest = {name: max(length, sizes[name]) for name, length in longest.items()}
    return {name: -(-length // 16) * 16 for name, length in longest.items()}
