"""Greedy continuations of a task's inputs, or of the prompts in a file, as JSON lines."""

import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import rich.console
import rich.progress
import seqio

from commit_t5x import records
from commit_t5x.engine import data, eval, generation, gin_utils, models, partitioning, utils
from commit_t5x.errors import InputError

_PROMPT_FIELDS = ("prompt", "inputs", "text")


def infer(
    *,
    model: models.DecoderOnlyModel,
    dataset_cfg: utils.DatasetConfig,
    restore_checkpoint_cfg: utils.RestoreCheckpointConfig,
    partitioner: partitioning.PjitPartitioner,
    output_dir: str,
    input_path: str | None = None,
    num_examples: int | None = None,
    max_new_tokens: int = 256,
    add_bos: bool = True,
    stop: Sequence[str] = (),
    summarize_config_fn: Callable = gin_utils.summarize_gin_config,
) -> list[dict[str, Any]]:
    """Continues prompts greedily and writes OUTPUT_DIR/{task or file name}.jsonl.

    A line is `{"prompt": ..., "prediction": ...}`; for prompts of a JSON file with the other fields
    of the record, too.

    Args:
      model: network and vocabulary.
      dataset_cfg: whose inputs to continue if there is no file; its batch_size counts either way.
      restore_checkpoint_cfg: whose weights.
      partitioner: mesh and rules.
      output_dir: made if missing.
      input_path: a JSON, JSONL or Parquet file with a field prompt, inputs or text, or a text file
        with prompts between blank lines.
      num_examples: prompts to stop after; None for all.
      max_new_tokens: of each continuation.
      add_bos: put BOS before each prompt, as in training.
      stop: strings that end a continuation.
      summarize_config_fn: writes the gin configuration.

    Returns:
      What the lines hold.

    Raises:
      InputError: neither or both of file and task, no such file, task, split or checkpoint.
    """
    if dataset_cfg.enabled == (input_path is not None):
        raise InputError("INPUT_PATH, MIXTURE_OR_TASK_NAME: set one of the two")
    if input_path is not None:
        name, found = pathlib.Path(input_path).stem, _prompts_of_file(input_path, model.vocabulary)
    else:
        name, found = dataset_cfg.mixture_or_task_name, _prompts_of_task(dataset_cfg, model)
    found = list(itertools.islice(found, num_examples))
    prompts = [tokens for _, tokens in found]
    params, _ = eval.restore_weights(model, partitioner, restore_checkpoint_cfg)
    with rich.progress.Progress(console=rich.console.Console(stderr=True)) as bar:
        shown = bar.add_task("prompts", total=len(prompts))
        answers = generation.generate(
            model,
            partitioner,
            params,
            prompts,
            batch_size=dataset_cfg.batch_size,
            max_new_tokens=max_new_tokens,
            add_bos=add_bos,
            stop=stop,
            on_batch=lambda done: bar.advance(shown, done),
        )
    lines = [
        {**record, "prediction": answer} for (record, _), answer in zip(found, answers, strict=True)
    ]
    output_path = pathlib.Path(output_dir)
    summarize_config_fn(output_path, None, 0)
    eval.write_jsonl(output_path / f"{name}.jsonl", lines)
    return lines


def _prompts_of_file(
    path: str, vocabulary: seqio.Vocabulary
) -> Iterator[tuple[dict[str, Any], list[int]]]:
    for position, record in records.read_records(path):
        field = next((field for field in _PROMPT_FIELDS if field in record), None)
        if field is None or not isinstance(record[field], str):
            raise InputError(f"{position}: no text in a field prompt, inputs or text; add one")
        others = {name: value for name, value in record.items() if name != field}
        yield {"prompt": record[field], **others}, list(vocabulary.encode(record[field]))


def _prompts_of_task(
    cfg: utils.DatasetConfig, model: models.DecoderOnlyModel
) -> Iterator[tuple[dict[str, Any], list[int]]]:
    provider = utils.get_mixture_or_task(cfg.mixture_or_task_name)
    if "inputs" not in provider.output_features:
        raise InputError(f"{provider.name}: has no inputs to continue; choose an evaluation task")
    eval.check_vocabulary(cfg, model)
    for task in seqio.get_subtasks(provider):
        for example in data.get_examples(cfg, task):
            tokens = example["inputs"].tolist()
            yield {"prompt": model.vocabulary.decode(tokens)}, tokens
