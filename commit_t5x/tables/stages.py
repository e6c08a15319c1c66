"""What is to be done for a table: trainings, scores and exports, each an ordinary command."""

import dataclasses
import json
import pathlib
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from commit_t5x import fingerprints, resources
from commit_t5x.errors import InputError
from commit_t5x.model import config_files
from commit_t5x.tables import rows
from commit_t5x.tables.rows import BASE, Row
from commit_t5x.vocabularies import special_tokens


@dataclasses.dataclass(frozen=True)
class Stage:
    """A command, and what it leaves.

    Attributes:
      kind: train, score or export.
      row, seed: what for; the base has no seed.
      command: as a shell takes it, its program first.
      output: what is there when it is done: checkpoint_N, a result file, an exported model.
      needs: the stages that come before, by name.
      steps: of a training.
      tasks, model_args, scoring: of a score, the last as Settings has it.
      start: the weights that it begins with, a model directory or a checkpoint_N folder.
    """

    kind: str
    row: str
    seed: int | None
    command: Sequence[str]
    output: pathlib.Path
    needs: Sequence[str] = ()
    steps: int = 0
    tasks: Sequence[str] = ()
    model_args: str = ""
    scoring: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    start: pathlib.Path | None = None

    @property
    def name(self) -> str:
        """Such as "score-commit-0"; no other stage has it."""
        return "-".join([self.kind, self.row, *([] if self.seed is None else [str(self.seed)])])

    def done(self) -> bool:
        """Returns whether the output says that nothing is left to do."""
        if self.kind != "score":
            return self.output.is_dir()
        try:
            content = json.loads(self.output.read_text(encoding="utf-8"))
            config = content["config"]
            same = _options(config["model_args"]) == _options(self.model_args)
            same = same and all(_same(n, config.get(n), self.scoring.get(n)) for n in _SCORED_WITH)
            return same and all(task in content["results"] for task in self.tasks)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @property
    def made(self) -> pathlib.Path:
        """What to remove where it shall be made anew: of a training, all of its checkpoints."""
        return self.output.parent if self.kind == "train" else self.output

    def steps_done(self) -> int:
        """Returns the step that a training goes on from."""
        folders = self.output.parent.glob("checkpoint_*") if self.kind == "train" else ()
        numbers = [path.name.removeprefix("checkpoint_") for path in folders]
        return max((int(number) for number in numbers if number.isdecimal()), default=0)

    def started_from(self) -> str:
        """Returns what the start is.

        A hash over names, which each writing draws, and sizes of the weights' files, and behind it
        the content of the files beside them.
        """
        if self.start is None:
            return ""
        folders = sorted(self.start.glob("checkpoint_*")) or [self.start]
        weights = (path for folder in folders for path in (folder, *folder.rglob("*")))
        is_one = self.start.name.startswith("checkpoint_")
        model_dir = self.start.parent if is_one else self.start
        beside = [path for path in map(model_dir.joinpath, _BESIDE) if path.is_file()]
        found = [f"{path.name} {fingerprints.fingerprint(path)}" for path in beside]
        return ", ".join([fingerprints.of_names(self.start, weights), *found])

    def process(self) -> list[str]:
        """Returns the command as this interpreter runs it."""
        program, *arguments = self.command
        if program == "commit-t5x":
            return [sys.executable, "-m", "commit_t5x.cli", *arguments]
        return [sys.executable, *arguments]


# The network's constants, the tokenizer, and what ends an answer.
_BESIDE = (config_files.NATIVE, "tokenizer.model", "tokenizer.json", *special_tokens.FILES)


def _options(model_args: str) -> list[str]:
    """Returns lm-eval's arguments, of the model's place the name: ways to the folder differ."""
    return [re.sub("^pretrained=.*/", "pretrained=", one) for one in model_args.split(",")]


# Which of a score's options say what it is a score of, and which of these are places.
_PLACES = ("data_dir", "labels", "include_path")
_SCORED_WITH = ("limit", "num_fewshot", "gen_kwargs", *_PLACES)


def _same(name: str, was: Any, wanted: Any) -> bool:
    if name in _PLACES and was and wanted:  # by another way, as above
        was, wanted = (pathlib.Path(place).name for place in (was, wanted))
    return (was or None) == (wanted or None)


def shell(command: Sequence[str]) -> str:
    """Returns a command as one line for a shell."""
    return " ".join(map(_quoted, command))


def _quoted(word: str) -> str:
    """Quotes for a shell; gin's strings stay as one types them: "--gin.LANGUAGE='hi'"."""
    plain = "'" not in word or set(word) & set('"$`\\!')
    return shlex.quote(word) if plain else f'"{word}"'


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all stages have in common.

    Attributes:
      out: the table's folder.
      flags: of training.
      tasks: to score.
      scoring: options of `lm-eval` besides the model, the tasks and the output, by name.
      model_args: arguments of lm-eval's model besides `pretrained`, such as "dtype=bfloat16".
      engine: native or t5x.
      export: whether rows are exported to Hugging Face's format.
    """

    out: pathlib.Path
    flags: rows.Flags
    tasks: Sequence[str]
    scoring: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    model_args: str = ""
    engine: str = "native"
    export: bool = False


def build(
    table: Mapping[str, Row], chosen: Sequence[str], seeds: Sequence[int], settings: Settings
) -> list[Stage]:
    """Returns the stages in an order in which each comes after those that it needs.

    Args:
      table: all rows.
      chosen: those to be scored, BASE among them or not.
      seeds: one after the other; a stage that several rows need comes but once.
      settings: see there.

    Raises:
      InputError: a path that lm-eval couldn't be given.

    Example:
      >>> [stage.name for stage in build(table, ["commit", "align_commit"], [0], settings)]
      ['train-commit-0', 'score-commit-0', 'train-align-0', 'train-align_commit-0',
       'score-align_commit-0']
    """
    found: dict[str, Stage] = {}

    def add(stage: Stage) -> Stage:
        return found.setdefault(stage.name, stage)

    def trained(row: Row, seed: int) -> Stage:
        start = None if row.starts_from is None else trained(table[row.starts_from], seed)
        return add(_train(row, seed, start, settings))

    for seed in seeds:
        for name in chosen:
            if name == BASE:
                add(_score(BASE, None, rows.common(table, "base"), (), settings))
                continue
            done = trained(table[name], seed)
            add(_score(name, seed, str(done.output), [done.name], settings))
            if settings.export:
                add(_export(done, settings))
    return list(found.values())


def _train(row: Row, seed: int, start: Stage | None, settings: Settings) -> Stage:
    folder = settings.out / "models" / row.name / f"seed_{seed}"
    macros = {"MODEL_DIR": str(folder), "RANDOM_SEED": seed}
    if start is not None:
        macros["INITIAL_CHECKPOINT_PATH"] = str(start.output)
    flags = settings.flags
    search_paths, caches = [*flags.gin_search_paths], flags.seqio_additional_cache_dirs
    if settings.engine == "t5x":
        project = resources.path("gin")
        search_paths += [str(project / "engines" / "t5x"), str(project)]
        program = ["python", "-m", "t5x.train"]
    else:
        program = ["commit-t5x", "train"]
    return Stage(
        "train",
        row.name,
        seed,
        [
            *program,
            *([f"--gin_search_paths={','.join(search_paths)}"] if search_paths else []),
            *([f"--seqio_additional_cache_dirs={','.join(caches)}"] if caches else []),
            *(f"--gin_file={name}" for name in (row.gin_file, *flags.gin_file)),
            *(f"--gin.{text}" for text in flags.gin_bindings),
            *(f"--gin.{rows.binding(name, value)}" for name, value in macros.items()),
        ],
        folder / f"checkpoint_{row.steps}",
        needs=[start.name] if start else [],
        start=start.output if start else row.base and pathlib.Path(row.base),
        steps=row.steps,
    )


def _score(
    row: str, seed: int | None, model: str, needs: Sequence[str], settings: Settings
) -> Stage:
    if "," in model:  # rather than when all rows are trained
        raise InputError(f"{model}: lm-eval takes no comma in a path; choose another place or name")
    folder = settings.out / "results"
    output = folder / f"{BASE}.json" if seed is None else folder / row / f"seed_{seed}.json"
    arguments = ",".join(filter(None, [f"pretrained={model}", settings.model_args]))
    return Stage(
        "score",
        row,
        seed,
        [
            *("commit-t5x", "lm-eval", "--model_args", arguments),
            *("--tasks", ",".join(settings.tasks), "--output_path", str(output)),
            *("--log_samples", *(f"--{name}={value}" for name, value in settings.scoring.items())),
        ],
        output,
        needs=needs,
        tasks=settings.tasks,
        model_args=arguments,
        scoring=settings.scoring,
        start=pathlib.Path(model),
    )


def _export(trained: Stage, settings: Settings) -> Stage:
    output = settings.out / "exports" / trained.row / f"seed_{trained.seed}"
    command = ["commit-t5x", "convert", "--to", "hf", str(trained.output), str(output)]
    needs, start = [trained.name], trained.output
    return Stage("export", trained.row, trained.seed, command, output, needs=needs, start=start)
