"""Runs lm-eval on our tasks, with our model or any of lm-eval's, and keeps the scores."""

import contextlib
import hashlib
import importlib.metadata
import inspect
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from lm_eval import evaluator, models, utils
from lm_eval.api import model as lm_eval_model
from lm_eval.api import registry

from commit_t5x import disk, errors
from commit_t5x.evaluation import generation_options, lm_eval_tasks
from commit_t5x.evaluation import results as results_file

_PERIOD = 30  # seconds between two lines that tell how far something is, and before the first one


def run(
    *,
    tasks: Sequence[str],
    model: str = "commit_t5x",
    model_args: Mapping[str, Any] | str = "",
    data_dir: str | None = None,
    labels: str | None = None,
    include_path: str | None = None,
    num_fewshot: int | None = None,
    limit: float | None = None,
    batch_size: int | str = 1,
    device: str | None = None,
    gen_kwargs: Mapping[str, Any] | str = "",
    log_samples: bool = False,
    output_path: str | None = None,
    seed: int = 1234,
) -> dict[str, Any]:
    """Scores a model and prints lm-eval's table.

    Args:
      tasks: names or patterns of our tasks and lm-eval's.
      model: `commit_t5x`, or a name of lm-eval's, such as `hf`.
      model_args: the model's arguments, as a mapping or as lm-eval's `key=value,key=value`.
      data_dir: where XQuAD's or MLQA's files or a text lie, or "samples"; None means the hub.
      labels: a TOML file with labels of one's own, for questions in more languages.
      include_path: a folder with more YAML tasks.
      num_fewshot: examples ahead of each question; the task's own number by default.
      limit: questions per task (below 1, the share of them); all by default.
      batch_size: rows of a forward pass.
      device: of a torch model; JAX picks its own.
      gen_kwargs: what to change of the tasks' generation options, in the form of `model_args`.
      log_samples: also keep every prompt and answer, in one JSONL file a task.
      output_path: where the results go: a .json file, or a folder that gets a results.json.
      seed: of the choice of few-shot examples.

    Returns:
      lm-eval's results, plus the per-question scores under `sample_scores`
      ({task: {metric: [score, ...]}}), which `commit-t5x report` draws its intervals from, and the
      run's options under `config`. The same run gives the same file, to the byte.

    Raises:
      InputError: unknown task, model or model argument; missing or malformed data.
    """
    options = {name: value for name, value in locals().items() if name != "output_path"}
    if output_path is not None:
        disk.check_writable(_results_path(output_path))
        disk.check_own("--output_path", _results_path(output_path), '"results"')
    generation = generation_options.checked(model, _parsed("--gen_kwargs", gen_kwargs))
    loaded = lm_eval_tasks.load(tasks, include_path, data_dir=data_dir, labels=labels)
    _configure(loaded["tasks"], num_fewshot, generation, seed)
    with _bars_on_terminals_only():
        lm = _load_model(model, _parsed("--model_args", model_args), batch_size, device)
        _check_vocabulary(lm)
        results = evaluator.evaluate(lm, loaded, limit=limit, log_samples=True)
    samples = results.pop("samples")
    model_info = lm.get_model_info() if hasattr(lm, "get_model_info") else {}
    results["config"] = {**options, **model_info}
    for package in ("commit_t5x", "lm_eval"):
        results[f"{package}_version"] = _version(package)
    results[results_file.SAMPLE_SCORES] = {
        task: _numeric_scores(rows, results["results"][task]) for task, rows in samples.items()
    }
    results[results_file.PROMPTS] = {task: _prompts(rows) for task, rows in samples.items()}
    print(utils.make_table(results))
    if results.get("groups"):
        print(utils.make_table(results, "groups"))
    if output_path is not None:
        _save(results, samples if log_samples else {}, _results_path(output_path))
    return results


def _parsed(flag: str, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    if not isinstance(arguments, str):
        return dict(arguments)
    keys = set()
    for part in filter(str.strip, arguments.split(",")):
        key, equals, _ = part.partition("=")
        if key in keys:
            raise errors.InputError(f"{flag}: {key} is given twice; give it once")
        keys.add(key)
        if not equals:
            raise errors.InputError(
                f"{flag}: {part!r} is no KEY=VALUE, and commas part those; where it belongs to a "
                "path, link that to a name without a comma"
            )
    return utils.simple_parse_args_string(arguments)


def _configure(
    loaded: Mapping[str, Any], num_fewshot: int | None, gen_kwargs: Mapping[str, Any], seed: int
) -> None:
    answering = [t for t in loaded.values() if t.get_config("output_type") == "generate_until"]
    if gen_kwargs and not answering:
        raise errors.InputError("--gen_kwargs: none of the tasks generates answers; leave it out")
    for task in answering:
        own = (task.get_config("generation_kwargs") or {}).get("until")
        if (until := gen_kwargs.get("until", own)) != own:
            name = task.get_config("task")
            print(f"{name}: answers end at {until!r}, not at {own!r}", file=sys.stderr)
        task.set_config(key="generation_kwargs", value=dict(gen_kwargs), update=True)
    for name, task in loaded.items():
        # lm-eval's rule: a task that says 0 means it.
        own = task.get_config("num_fewshot")
        if own is None or (num_fewshot is not None and own != 0):
            task.set_config(key="num_fewshot", value=num_fewshot or 0)
            if num_fewshot and num_fewshot >= (count := len(list(task.fewshot_docs()))):
                raise errors.InputError(
                    f"--num_fewshot: {num_fewshot}, and {name} has {count} examples to draw from, "
                    "the question among them; ask for fewer"
                )
        task.set_fewshot_seed(seed=seed)


def _load_model(
    name: str, arguments: Mapping[str, Any], batch_size: int | str, device: str | None
) -> lm_eval_model.LM:
    if name == "commit_t5x":
        # Registers the model; here, as JAX and the network take a while to import.
        from commit_t5x.evaluation import lm_eval_model as _  # noqa: F401
    known = {"commit_t5x", *models.MODEL_MAPPING, *registry.model_registry.keys()}
    if name not in known:
        near = errors.suggest(name, sorted(known)) or "; commit_t5x and hf are known"
        raise errors.InputError(f"--model: {name!r} is unknown{near}")
    try:
        model_class = registry.get_model(name)
    except ImportError as error:
        raise errors.InputError(
            f"model {name!r}: needs {error.name}, which isn't installed; hf and its like come with "
            "pip install 'commit-t5x[torch]'"
        ) from error
    settings = {"batch_size": batch_size, "device": device or _torch_device(model_class)}
    settings = {key: value for key, value in settings.items() if value is not None}
    arguments = {**settings, **arguments}
    try:
        inspect.signature(model_class).bind(**arguments)
    except TypeError as error:
        raise errors.InputError(f"model_args of {name}: {error}; mend --model_args") from error
    try:
        return model_class.create_from_arg_obj(arguments)
    except (OSError, ValueError) as error:  # transformers: no such folder or name, or no model
        reason = str(error).splitlines()[0]
        place = arguments.get("pretrained", "")
        raise errors.InputError(f"model {name} {place}: {reason}; mend --model_args") from error


def _check_vocabulary(lm: lm_eval_model.LM) -> None:
    """Raises InputError if a torch model has fewer rows than its tokenizer tokens."""
    tokenizer, network = getattr(lm, "tokenizer", None), getattr(lm, "model", None)
    if tokenizer is None or not hasattr(network, "get_input_embeddings"):
        return  # `commit_t5x` checks its own
    rows = network.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise errors.InputError(
            f"model_args: the tokenizer has {len(tokenizer):,} tokens, the network {rows:,} rows; "
            "use the tokenizer that the network was trained with"
        )


def _torch_device(model_class: type[lm_eval_model.LM]) -> str | None:
    """Returns cuda only where there is one; lm-eval's torch models take it for granted."""
    default = inspect.signature(model_class).parameters.get("device")
    if default is None or default.default != "cuda":
        return None
    import torch  # the model has imported it

    return "cuda" if torch.cuda.is_available() else "cpu"


class _Lines:
    """A file for progress bars, which gets each of their states as a line of its own."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Nothing waits."""


@contextlib.contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """Turns lm-eval's progress bars into a line now and then for files and pipes."""
    original = tqdm.tqdm.__init__

    def init(self, *args, **kwargs):
        kwargs |= {"disable": bool(kwargs.get("disable")), "file": _Lines(), "leave": False}
        kwargs |= {"delay": _PERIOD, "mininterval": _PERIOD, "maxinterval": _PERIOD, "ascii": True}
        original(self, *args, **kwargs)

    if not sys.stderr.isatty():
        tqdm.tqdm.__init__ = init
    try:
        yield
    finally:
        tqdm.tqdm.__init__ = original


def _numeric_scores(
    rows: Sequence[Mapping[str, Any]], values: Mapping[str, Any]
) -> dict[str, list[float]]:
    """Returns {metric: a score for each question}, of the metrics that are plain numbers.

    And of bits per byte, those of each text, weighted so that their mean is that of all bytes. Of a
    task with several filters, the first one counts. What isn't the mean of its questions' scores,
    such as a perplexity, is left out.

    Args:
      rows: what lm-eval logged of each question.
      values: the task's scores, {"metric,filter": value}.
    """
    rows = [row for row in rows if row["filter"] == rows[0]["filter"]]
    rows.sort(key=lambda row: row["doc_id"])
    metrics = rows[0]["metrics"] if rows else []
    found = {
        metric: [round(row[metric], 4) for row in rows]
        for metric in metrics
        if all(isinstance(row[metric], int | float) for row in rows)
    }
    if "bits_per_byte" in metrics and "bits_per_byte" not in found:
        nats, sizes = np.transpose([row["bits_per_byte"] for row in rows])
        weighted = -nats / np.log(2) / sizes.mean()
        found["bits_per_byte"] = weighted.round(6).tolist()
    return {
        metric: scores
        for metric, scores in found.items()
        if np.isclose(np.mean(scores), values.get(f"{metric},{rows[0]['filter']}", np.nan), 1e-3)
    }


def _prompts(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a hash of the questions' prompts and right answers, in the order of the questions."""
    prompts = sorted({(row["doc_id"], row["prompt_hash"], row["target_hash"]) for row in rows})
    return hashlib.sha256(json.dumps(prompts).encode("utf-8")).hexdigest()[:12]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # a checkout that isn't installed
        return None


def _results_path(output_path: str) -> pathlib.Path:
    path = pathlib.Path(output_path)
    return path if path.suffix == ".json" else path / "results.json"


def _save(results: Mapping[str, Any], samples: Mapping[str, Any], path: pathlib.Path) -> None:
    text = json.dumps(results, indent=2, ensure_ascii=False, default=utils.handle_non_serializable)
    # One line for each list of numbers, not one for each number.
    text = re.sub(r"\[\n[\d\s.,e+-]+\]", lambda found: re.sub(r"\s+", " ", found[0]), text)
    for task, rows in samples.items():
        lines = (
            json.dumps(row, ensure_ascii=False, default=utils.handle_non_serializable)
            for row in rows
        )
        disk.write(results_file.samples_path(path, task), "".join(f"{line}\n" for line in lines))
    disk.write(path, f"{text}\n")
    print(f"Wrote {path}")
