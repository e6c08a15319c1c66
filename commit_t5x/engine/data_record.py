"""What fixes a run's rows: kept beside its checkpoints, and compared when the run goes on.

That is the data set's configuration, what gin says of mixing, templates, masks and packing, the
tokenizer, and fingerprints of the files.
"""

import contextlib
import dataclasses
import json
import logging
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import gin

from commit_t5x import disk, fingerprints
from commit_t5x.engine import utils
from commit_t5x.errors import InputError, suggest
from commit_t5x.vocabularies import configured

_LOGGER = logging.getLogger(__name__)

FILE = "data.json"

_Built = TypeVar("_Built")
Record = dict[str, Any]

# Whose parameters fix the rows; and so do those of users' own code.
_ROOMS = ("commit_t5x.data.", "commit_t5x.mixing.")
_OTHERS = ("commit_t5x.", "gin.", "seqio.", "t5x.")
# Where the files lie, for which their fingerprints stand; what the name of the task says; and what
# isn't looked at.
_ELSEWHERE = frozenset(
    {
        *("Locations.alpaca", "Locations.wikipedia", "Locations.xquad", "Locations.mlqa"),
        "Locations.parallel",
        *("load_dictionary.directory", "load_alignment_pairs.directory", "get_prompts.language"),
        *("get_labels.path", "DecoderFeatureConverter.vocabulary"),
        "DecoderFeatureConverter.use_custom_packing_ops",
        "DatasetConfig.mixture_or_task_name",
        "DatasetConfig.module",
    }
)
_FEW = 4  # files whose fingerprints a message shows

# What becomes of examples that are too long.
_LONG = ("fit_prompt_response.too_long", "fit_documents.too_long")


def describe(cfg: utils.DatasetConfig, build: Callable[[], _Built]) -> tuple[_Built, Record]:
    """Builds a pipeline, and says what fixes its rows.

    Args:
      cfg: what is read; T5X's serves as well.
      build: builds the pipeline. Of what gin configures that counts which this calls.

    Returns:
      What `build` returns, and {name: value}, all of JSON.
    """
    import seqio  # here: what was kept is read without TensorFlow

    from commit_t5x.engine import providers

    with fingerprints.recording() as files, _called() as settings:
        built = build()
    provider = providers.get_mixture_or_task(cfg)
    tasks = providers.tasks_with_split(provider, cfg.split)
    is_mixture = isinstance(provider, seqio.Mixture)
    for task in tasks:
        shards = providers.shards_of(task, cfg)
        files[f"data of {task.name}"] = [fingerprints.fingerprint(shard) for shard in shards]
    fields = [field.name for field in dataclasses.fields(utils.DatasetConfig)]
    record = {
        "tasks": {task.name: provider.get_rate(task) if is_mixture else 1.0 for task in tasks},
        **{f"DatasetConfig.{name}": getattr(cfg, name) for name in fields},
        **settings,
        **files,
        "TOKENIZER": _tokenizer(provider),
    }
    for name in _LONG:
        if record.get(name) == "keep" and cfg.trim_output_features:
            _LOGGER.warning(
                "%s = 'keep' leaves what is longer than a row to stream packing, but "
                "TRIM_OUTPUT_FEATURES cuts it off; set --gin.TRIM_OUTPUT_FEATURES=False, and "
                "PACKING = 'stream'",
                _shown(name),
            )
    record = {name: value for name, value in record.items() if name not in _ELSEWHERE}
    # Through JSON, as what is compared with it went through it, too.
    return built, json.loads(json.dumps(record, default=_plain))


def _tokenizer(provider: Any) -> str:
    from commit_t5x.vocabularies.seqio_vocabulary import TokenizerVocabulary

    vocabulary = provider.output_features["targets"].vocabulary
    if isinstance(vocabulary, TokenizerVocabulary):
        return configured.name(vocabulary.tokenizer)
    return f"{type(vocabulary).__name__} of {vocabulary.vocab_size:,} tokens"


def exists(model_dir: pathlib.Path) -> bool:
    """Returns whether there is something to compare a run's data with."""
    return (model_dir / FILE).is_file()


def check(
    model_dir: pathlib.Path,
    record: Record,
    accepted: Sequence[str] = (),
    place: str | None = None,
) -> None:
    """Raises InputError if a run would go on with other data than it was trained on.

    Args:
      model_dir: of the run; without a record there, nothing is compared.
      record: what `describe` returned.
      accepted: the differences that are meant, by macro or by parameter.
      place: of the run, for the message, where model_dir is but a copy.
    """
    saved = newest(model_dir)
    if saved is None:
        return
    names = {*saved, *record} - _ELSEWHERE
    known = {*names, *map(_shown, names)}
    for name in accepted:
        if name not in known:
            raise InputError(
                f"ACCEPT_CHANGES: nothing of the data is named {name!r}"
                f"{suggest(name, sorted(known)) or '; without it, what differs is named'}"
            )
    # An option that is newer than the run, and not made use of, changes nothing.
    unused = {name for name in record if name not in saved and not record[name]}
    changed = [
        name
        for name in sorted(names - unused)
        if saved.get(name) != record.get(name) and not {name, _shown(name)} & {*accepted}
    ]
    if changed:
        differences = "; ".join(
            f"{_shown(name)} {_difference(saved.get(name), record.get(name))}" for name in changed
        )
        shown = json.dumps([_shown(name) for name in changed]).replace('"', "'")
        raise InputError(
            f"{place or model_dir}: was trained on other data: {differences}; go back to those, "
            f'choose another MODEL_DIR, or say that it is meant: --gin.ACCEPT_CHANGES="{shown}"'
        )


def write(model_dir: pathlib.Path, step: int, record: Record) -> None:
    """Adds to the file what the data are from a step on, unless they are what they were."""
    if newest(model_dir) != record:
        records = {**_read(model_dir), f"from step {step}": record}
        text = json.dumps(records, indent=2, ensure_ascii=False)
        disk.write(model_dir / FILE, f"{text}\n")


def _read(model_dir: pathlib.Path) -> dict[str, Record]:
    path = model_dir / FILE
    if not exists(model_dir):
        return {}
    return disk.read_json(path, "remove it, and the data won't be compared")


def newest(model_dir: pathlib.Path) -> Record | None:
    """Returns what a run's last steps were trained on, as far as it is known."""
    return next(reversed(_read(model_dir).values()), None)


def _parameters() -> Iterator[tuple[str, Any]]:
    """Yields "configurable.parameter" and the value or reference that gin gave, where it did."""
    for (scope, selector), parameters in gin.config._OPERATIVE_CONFIG.items():
        for parameter, value in parameters.items():
            of_training = selector.endswith(".DatasetConfig") and scope == "train"
            fixes_rows = selector.startswith(_ROOMS) or not selector.startswith(_OTHERS)
            if fixes_rows or of_training:
                yield f"{selector.rpartition('.')[2]}.{parameter}", value


@contextlib.contextmanager
def _called() -> Iterator[dict[str, Any]]:
    """Yields {parameter: value} of what gin configures and is called inside; filled at the end."""
    operative = gin.config._OPERATIVE_CONFIG
    before = dict(operative)
    operative.clear()
    found: dict[str, Any] = {}
    try:
        yield found
        for name, value in _parameters():
            if not name.startswith("DatasetConfig."):
                found[name] = _resolved(value)
    finally:
        operative.update({**before, **operative})


def _resolved(value: Any) -> Any:
    while repr(value).startswith("%"):
        value = gin.query_parameter(repr(value))
    return value


def _shown(name: str) -> str:
    """Returns the macro that gives a parameter, or the parameter itself."""
    macros = {n: repr(value)[1:] for n, value in _parameters() if repr(value).startswith("%")}
    return macros.get(name, name)


def _difference(was: Any, now: Any) -> str:
    """Returns what was and what is, of many files in short."""
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now) > _FEW:
        others = sum(one != other for one, other in zip(was, now, strict=True))
        return f"has {others:,} other files of {len(was):,}"
    return f"was {_short(was)}, is {_short(now)}"


def _short(value: Any) -> str:
    many = isinstance(value, list) and len(value) > _FEW
    return f"{value[:_FEW]!r} and {len(value) - _FEW:,} more" if many else repr(value)


def _plain(value: Any) -> Any:
    try:
        return dict(value)
    except (TypeError, ValueError):
        return repr(value)
