"""Data for T5X's binaries: which rows they read, and how their answers are written."""

import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import seqio
import tensorflow as tf
from t5x import checkpoints, utils

from commit_t5x import ranges
from commit_t5x.engine import data, data_record, generation, providers
from commit_t5x.errors import InputError
from commit_t5x.mixing import counts
from commit_t5x.vocabularies.seqio_vocabulary import TokenizerVocabulary

Config = Any  # t5x.utils.DatasetConfig, which has what engine.utils.DatasetConfig has


def dataset(cfg: Config) -> Config | None:
    """Returns a configuration with the name of a registered task; None where there is no task.

    Raises:
      InputError: no such task, no such split, or two tasks of one name.
    """
    if cfg.mixture_or_task_name is None:
        return None
    provider = providers.get_mixture_or_task(cfg)
    providers.check_split(provider, cfg.split)
    return dataclasses.replace(cfg, mixture_or_task_name=_register(provider))


def _register(provider: seqio.Task | seqio.Mixture) -> str:
    """Registers a task or mixture, unless that is done, and returns its name.

    T5X says that it takes the object itself, but reads SeqIO's as if they were AirIO's.
    """
    is_task = isinstance(provider, seqio.Task)
    registry = seqio.TaskRegistry if is_task else seqio.MixtureRegistry
    if provider.name not in registry.names():
        registry.add_provider(provider.name, provider)
    if registry.get(provider.name) is not provider:
        raise InputError(f"{provider.name}: the name of another task, too; rename yours")
    return provider.name


def questions(
    cfg: Config,
    max_new_tokens: ranges.Positive = 256,
    add_bos: bool = True,
    input_path: ranges.Path | None = None,
    interactive: bool = False,
) -> Config | None:
    """Returns as `dataset` does, with rows for the longest example and for the longest answer.

    Args:
      cfg: of a task with inputs.
      max_new_tokens: of an answer.
      add_bos, input_path, interactive: for errors.

    Raises:
      InputError: as `dataset`; or what only the native engine does is asked for.
    """
    for name, wanted in (
        ("ADD_BOS=False", not add_bos),
        ("INPUT_PATH", input_path is not None),
        ("INTERACTIVE", interactive),
    ):
        if wanted:
            raise InputError(
                f"{name}: not with T5X, whose prompts are a task's inputs after BOS; "
                "use commit-t5x, or set MIXTURE_OR_TASK_NAME"
            )
    cfg = dataset(cfg)
    if cfg is None or cfg.task_feature_lengths is not None:
        return cfg
    lengths = data.longest_features(cfg)
    del lengths["row"]  # an answer of any length follows a prompt of any length
    lengths["targets"] = max(lengths["targets"], max_new_tokens)
    return dataclasses.replace(cfg, task_feature_lengths=lengths)


def train_batches(
    cfg: Config,
    shard_id: int,
    num_shards: int,
    feature_converter_cls: Callable[..., seqio.FeatureConverter],
    num_epochs: int | None = None,
    continue_from_last_checkpoint: bool = False,
    *,
    model_dir: ranges.Path,
    accept_changes: Sequence[ranges.Text] = (),
) -> tf.data.Dataset:
    """Returns T5X's batches from where the run in `model_dir` stopped.

    T5X can't save the position in a pipeline with Python in it, and would begin anew. The pipeline
    is deterministic, so the batches of the steps that are done are left out.

    Raises:
      InputError: the run was trained on other data, see data_record; or T5X couldn't save there.
    """
    if "://" not in model_dir and not os.path.isabs(model_dir):
        raise InputError(
            f"MODEL_DIR: {model_dir!r} is relative, and T5X saves to absolute paths only; write "
            f"--gin.MODEL_DIR=\"'{os.path.abspath(model_dir)}'\""
        )

    def build() -> tf.data.Dataset:
        with counts.counting(counts.Counts(of_words=not cfg.use_cached)):
            return utils.get_dataset(
                cfg,
                shard_id,
                num_shards,
                feature_converter_cls,
                num_epochs,
                continue_from_last_checkpoint,
            )

    batches, record = data_record.describe(cfg, build)
    step = max(checkpoints.all_steps(model_dir), default=0)
    with tempfile.TemporaryDirectory() as name:
        folder, saved = pathlib.Path(name), f"{model_dir}/{data_record.FILE}"
        if tf.io.gfile.exists(saved):
            tf.io.gfile.copy(saved, str(folder / data_record.FILE))
        if step:
            data_record.check(folder, record, accept_changes, model_dir)
        if shard_id == 0:
            data_record.write(folder, step, record)
            copy_files(folder, model_dir)
    return batches.skip(step)


def copy_files(folder: pathlib.Path, model_dir: str) -> None:
    """Copies files to a model directory, which may lie in the cloud."""
    tf.io.gfile.makedirs(model_dir)
    for file in folder.iterdir():
        tf.io.gfile.copy(str(file), f"{model_dir}/{file.name}", overwrite=True)


def eval_batches(
    cfg: Config,
    shard_id: int,
    num_shards: int,
    eval_steps: ranges.Positive | None = None,
    feature_converter_cls: Callable[..., seqio.FeatureConverter] = None,
) -> dict[str, tf.data.Dataset]:
    """Returns one pass over the data, the last batch filled up with rows of zeros.

    T5X's own repeats the data until there are `eval_steps` batches.
    """
    rows = data.get_rows(cfg, feature_converter_cls, num_epochs=1)
    zeros = {name: tf.zeros(spec.shape, spec.dtype) for name, spec in rows.element_spec.items()}
    filling = tf.data.Dataset.from_tensors(zeros).repeat(cfg.batch_size - 1)
    batches = rows.concatenate(filling).batch(cfg.batch_size, drop_remainder=True)
    batches = batches.take(-1 if eval_steps is None else eval_steps)
    own = batches.unbatch().shard(num_shards, shard_id)
    batches = own.batch(cfg.batch_size // num_shards, drop_remainder=True)
    return {providers.get_mixture_or_task(cfg).name: batches}


def write_answers(
    path: str,
    inferences: tuple[Sequence[Any], Mapping[str, Any]],
    examples: tf.data.Dataset,
    mode: str,
    vocabulary: TokenizerVocabulary,
    stop: Sequence[ranges.Text] = (),
) -> None:
    """Writes a line `{"prompt": ..., "prediction": ...}`, or "score", for each example.

    Args:
      path: of the file.
      inferences: T5X's answers as token ids, or scores; and what else it computed.
      examples: with `inputs`, padded with 0.
      mode: T5X's: "predict", "predict_with_aux" or "score".
      vocabulary: of the tokens.
      stop: strings that end an answer.
    """
    ends = generation.StopStrings(vocabulary.tokenizer, stop)
    with tf.io.gfile.GFile(path, "w") as file:
        for example, found in zip(examples.as_numpy_iterator(), inferences[0], strict=True):
            line = {"prompt": vocabulary.decode(_unpadded(example["inputs"]))}
            if mode == "score":
                line["score"] = float(found)
            else:
                line["prediction"] = ends.cut(ends.text(int(token) for token in found))
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _unpadded(tokens: Any) -> list[int]:
    places = tokens.nonzero()[0]
    return tokens[: places[-1] + 1].tolist() if len(places) else []
