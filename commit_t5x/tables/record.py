"""What a table's folder was made with, and how long its stages took: OUT/table.json."""

import glob
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from commit_t5x import disk, signatures
from commit_t5x.errors import InputError
from commit_t5x.tables.stages import Stage

FILE = "table.json"
# What commands run by hand (--dry_run) leave, without the record.
_OURS = {".lock", "models", "results", "exports", "logs", "report"}
_FIELDS = {
    "settings": dict[str, Any],
    "bindings": dict[str, str],
    "questions": dict[str, str],
    "starts": dict[str, str],
    "seconds": dict[str, tuple[float, float]],
}


class Record:
    """The record of a folder.

    Attributes:
      seconds: {kind of stage: [seconds, work]} of those that ran; work is steps, or stages.
    """

    def __init__(self, out: pathlib.Path, settings: Mapping[str, Any]):
        """Reads the record, or begins one.

        Args:
          out: the folder; nothing is written to it yet.
          settings: of JSON; those of a folder in which something was made stay as they are.

        Raises:
          InputError: the folder was made with others, or is no table's.
        """
        self._path = out / FILE
        self._settings = dict(settings)
        self.seconds: dict[str, list[float]] = {}
        self._rows: dict[str, str] = {}
        self._questions: dict[str, str] = {}
        self._starts: dict[str, str] = {}
        if not out.exists():
            return
        if not self._path.is_file():
            if tables := sorted(path.parent.name for path in out.glob(f"*/{FILE}")):
                raise InputError(
                    f"--out: {out} holds a table of each of several languages; give all of them "
                    f"by --language, or one's own folder, such as {out / tables[0]}"
                )
            if out.is_file() or any(path.name not in _OURS for path in out.iterdir()):
                raise InputError(f"--out: {out} is there, but no table's; choose another folder")
            return
        saved = disk.read_json(self._path, "choose another --out")
        for name, kind in _FIELDS.items():
            if not signatures.fits(kind, saved.get(name, {})):
                raise InputError(f"{self._path}: {name}: not a table's; choose another --out")
        self.seconds = saved.get("seconds", {})
        if not self._trained("*") and not self._scored():
            return  # whatever failed may be mended
        self._rows, self._starts = saved.get("bindings", {}), saved.get("starts", {})
        if self._scored():
            self._questions = saved.get("questions", {})
        before = saved.get("settings", {})
        for name in {**before, **self._settings}:
            was, given = before.get(name), self._settings.get(name)
            if was != given:
                raise InputError(
                    f"{self._path}: was made with {name} {_shown(was)}, not {_shown(given)}; "
                    "go back to that, or choose another --out"
                )

    def set_rows(self, configs: Mapping[str, str]) -> None:
        """Sets, by row, what its gin files and the flags bind (Row.config).

        Raises:
          InputError: the folder has checkpoints of a row that was made with something else.
        """
        for name, config in configs.items():
            if not self._trained(glob.escape(name)):
                self._rows[name] = config
            elif self._rows.setdefault(name, config) != config:
                raise InputError(
                    f"{self._path}: the gin files of row {name} were others when it was made; go "
                    f"back to those, remove {self._path.parent / 'models' / name} to train it "
                    "anew, or choose another --out"
                )

    def set_questions(self, fingerprints: Mapping[str, str]) -> None:
        """Sets, by task, what its questions are.

        Raises:
          InputError: the folder has scores, and the questions were others.
        """
        for task, found in fingerprints.items():
            if self._questions.setdefault(task, found) != found:
                results = self._path.parent / "results"
                raise InputError(
                    f"{self._path}: the questions of {task} were others when rows were scored; put "
                    f"those back, remove {results} to score all anew, or choose another --out"
                )

    def check_starts(self, stages: Sequence[Stage]) -> None:
        """Checks that what is done or begun comes from the model that lies there now.

        Raises:
          InputError: from others: a base in its place, or a model that was trained anew.
        """
        for stage in stages:
            if not (stage.done() or stage.steps_done()):
                self._starts.pop(stage.name, None)
                continue
            found = stage.started_from()
            weights = found.partition(",")[0]  # which are all that former versions noted
            if self._starts.get(stage.name, found) not in (found, weights):
                raise InputError(
                    f"{self._path}: {stage.name} was made from other files than are in "
                    f"{stage.start} now; put those back, remove {stage.made} to make it "
                    "anew, or choose another --out"
                )
            self._starts[stage.name] = found

    def write(self) -> None:
        """Writes the record."""
        content = {"settings": self._settings, "bindings": self._rows}
        content |= {"questions": self._questions, "starts": self._starts, "seconds": self.seconds}
        disk.write(self._path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def begin(self, stage: Stage) -> None:
        """Notes what a stage starts from, unless it goes on."""
        self._starts.setdefault(stage.name, stage.started_from())
        self.write()

    def add(self, stage: Stage, seconds: float, steps: int) -> None:
        """Adds what a finished stage took."""
        spent, work = self.seconds.get(stage.kind, (0.0, 0))
        self.seconds[stage.kind] = [round(spent + seconds, 1), work + (steps or 1)]
        self.write()

    def left(self, stage: Stage) -> float | None:
        """Returns the seconds that a stage should take from here; None where none like it ran."""
        if stage.done():
            return 0.0
        spent, work = self.seconds.get(stage.kind, (0.0, 0))
        return spent / work * max(stage.steps - stage.steps_done(), 1) if work else None

    def total(self, stages: Sequence[Stage]) -> tuple[float, int]:
        """Returns the seconds left of all stages, and how many can't be estimated."""
        found = [self.left(stage) for stage in stages]
        known = [seconds for seconds in found if seconds is not None]
        return sum(known), len(found) - len(known)

    def _trained(self, row: str) -> bool:
        return any(self._path.parent.glob(f"models/{row}/seed_*/checkpoint_*"))

    def _scored(self) -> bool:
        return any((self._path.parent / "results").rglob("*.json"))


def _shown(value: Any) -> str:
    return "none" if value in (None, [], "") else json.dumps(value, ensure_ascii=False)
