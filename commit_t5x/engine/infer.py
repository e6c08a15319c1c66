"""Answers to a task's inputs, to the prompts of a file, or to those typed at the terminal."""

import itertools
import json
import logging
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import rich.console
import rich.progress

from commit_t5x import disk, fingerprints, ranges
from commit_t5x.data import records, templates
from commit_t5x.engine import (
    data_record,
    decoding,
    generation,
    gin_utils,
    interactive,
    models,
    partitioning,
    restoring,
    utils,
)
from commit_t5x.engine.sampling import Sampling
from commit_t5x.errors import InputError

_LOGGER = logging.getLogger(__name__)

_PROMPT_FIELDS = ("prompt", "instruction", "inputs", "text")
_STANDARD_INPUT = "-"


def infer(
    *,
    model: models.DecoderOnlyModel,
    dataset_cfg: utils.DatasetConfig,
    restore_checkpoint_cfg: utils.RestoreCheckpointConfig,
    partitioner: partitioning.PjitPartitioner,
    task_prompts: Callable[..., Iterator[tuple[dict[str, Any], list[int]]]] | None = None,
    output_dir: ranges.Path | None = None,
    input_path: ranges.Path | None = None,
    converse: bool = False,
    instructions: bool = False,
    num_examples: ranges.Positive | None = None,
    max_new_tokens: ranges.Positive = 256,
    add_bos: bool = True,
    stop: Sequence[ranges.Text] = (),
    sampling: Sampling = Sampling(),  # noqa: B008, frozen
    seed: ranges.Seed = 0,
    summarize_config_fn: Callable = gin_utils.summarize_gin_config,
) -> list[dict[str, Any]]:
    """Continues prompts and writes a JSON line for each.

    A line is `{"prompt": ..., "prediction": ...}`; for prompts of a JSON file with the other fields
    of the record, too. The lines are those of OUTPUT_DIR/{task, file name or stdin}.jsonl, or of
    standard output, in the order of the prompts.

    Args:
      model: network and vocabulary.
      dataset_cfg: whose inputs to continue if there is no file; its batch_size counts either way.
      restore_checkpoint_cfg: whose weights.
      partitioner: mesh and rules.
      task_prompts: reads the inputs of dataset_cfg's task, `eval.task_prompts`; None where only
        files and the terminal are read, which need no TensorFlow.
      output_dir: made if missing; None for standard output.
      input_path: a JSON, JSONL or Parquet file with a field prompt, instruction, inputs or text, a
        text file with prompts between blank lines, or "-": standard input, a prompt a line.
      converse: answer what is typed at the terminal instead; see `interactive.converse`.
      instructions: what is read or typed are instructions, to be put into the prompt that the
        network was trained on, with the record's field `input` where there is one.
      num_examples: prompts to stop after; None for all.
      max_new_tokens: of each continuation.
      add_bos: put BOS before each prompt, as in training.
      stop: strings that end a continuation.
      sampling: how tokens are chosen; the likeliest by default.
      seed: of the random choices; each prompt draws by its place, whatever the batch_size.
      summarize_config_fn: writes the gin configuration into output_dir.

    Returns:
      What the lines hold.

    Raises:
      InputError: not one of file, task and terminal, no such file, task, split or checkpoint.
    """
    if dataset_cfg.enabled + (input_path is not None) + converse != 1:
        raise InputError(
            "INPUT_PATH, MIXTURE_OR_TASK_NAME: set one of the two, or give --interactive"
        )
    if dataset_cfg.enabled and task_prompts is None:
        raise InputError(
            "MIXTURE_OR_TASK_NAME: these gin files read no tasks; give "
            "--gin_file=evaluation/infer_task.gin in the place of evaluation/infer.gin"
        )
    encode = model.vocabulary.encode
    fill = _filled if instructions else lambda text, record: text
    if input_path is not None:
        name = "stdin" if input_path == _STANDARD_INPUT else pathlib.Path(input_path).stem
        found = ((line, encode(fill(*text))) for line, text in _texts(input_path))
    elif dataset_cfg.enabled:
        name, found = dataset_cfg.name, task_prompts(dataset_cfg, model)
    else:
        found = ()
    if output_dir is not None and not converse:
        output = pathlib.Path(output_dir, f"{name}.jsonl")
        disk.check_writable(output)
        disk.check_apart("INFER_OUTPUT_DIR", output, *_inputs(input_path, dataset_cfg))
    found = list(itertools.islice(found, num_examples))
    if not found and not converse:
        raise InputError(f"{input_path or name}: holds no prompts; name another")
    params, folder = restoring.restore_weights(model, partitioner, restore_checkpoint_cfg)
    if instructions:
        _compare_prompts(folder.parent)
    module, params = decoding.unrolled(model.module, params)
    generator = generation.Generator(
        module,
        model.vocabulary,
        partitioner,
        params,
        max_new_tokens=max_new_tokens,
        add_bos=add_bos,
        stop=stop,
        sampling=sampling,
        seed=seed,
    )
    if converse:
        interactive.converse(generator, lambda line: encode(fill(line, {})))
        return []
    with rich.progress.Progress(console=rich.console.Console(stderr=True)) as bar:
        shown = bar.add_task("prompts", total=len(found))
        answers = generator.answers(
            [tokens for _, tokens in found],
            dataset_cfg.batch_size,
            lambda done: bar.advance(shown, done),
        )
    lines = [
        {**record, "prediction": answer} for (record, _), answer in zip(found, answers, strict=True)
    ]
    if output_dir is None:
        for line in lines:
            print(json.dumps(line, ensure_ascii=False))
    else:
        summarize_config_fn(output.parent, None, 0)
        disk.write_jsonl(output, lines)
    return lines


def _texts(path: str) -> Iterator[tuple[dict[str, Any], tuple[str, Mapping[str, Any]]]]:
    """Yields what an output line begins with, and a prompt's text with its record."""
    for position, record in _lines() if path == _STANDARD_INPUT else records.read_records(path):
        field = next((field for field in _PROMPT_FIELDS if field in record), None)
        if field is None or not isinstance(record[field], str):
            fields = f"{', '.join(_PROMPT_FIELDS[:-1])} or {_PROMPT_FIELDS[-1]}"
            raise InputError(f"{position}: no text in a field {fields}; add one")
        others = {name: value for name, value in record.items() if name != field}
        yield {"prompt": record[field], **others}, (record[field], record)


def _lines() -> Iterator[tuple[str, dict[str, str]]]:
    """Yields (position, record) of the lines of standard input; blank ones are no prompts."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        position = f"standard input:{number}"
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{position}: not UTF-8; convert it to UTF-8") from error
        if text.strip():
            yield position, {"prompt": text}


def _inputs(input_path: str | None, dataset_cfg: utils.DatasetConfig) -> Sequence[str]:
    if input_path is not None:
        return [input_path]
    from commit_t5x.engine import providers  # here: prompts of a file need no TensorFlow

    return providers.shards(dataset_cfg)


def _filled(instruction: str, record: Mapping[str, Any]) -> str:
    """Returns the prompt of training, in PROMPT_LANGUAGE, for an instruction."""
    values = {"instruction": instruction, "input": str(record.get("input") or "")}
    return templates.get_prompts().choose(values).render(values).text


def _compare_prompts(model_dir: pathlib.Path) -> None:
    """Warns where instructions are put into other prompts than a checkpoint was trained on."""
    name = "PROMPT_LANGUAGE"
    with fingerprints.recording() as used:
        templates.get_prompts()
    trained = (data_record.newest(model_dir) or {}).get(name)
    if trained not in (None, used[name]):
        _LOGGER.warning(
            "%s: the checkpoint was trained on other prompts than instructions are put into here, "
            "says %s; give its own (%s)",
            *(name, model_dir / data_record.FILE, model_dir / "config.gin"),
        )
