"""Wiktionary, as https://kaikki.org publishes it: an entry a line, in JSON."""

import collections
import json
from collections.abc import Iterator, Mapping
from typing import Any

from commit_t5x.dictionaries.formats.jobs import Job
from commit_t5x.errors import InputError
from commit_t5x.mixing.dictionary_files import Record

LICENCE = "CC BY-SA 4.0"


def read(job: Job) -> Iterator[Record]:
    """Yields the translations of each sense of the source language's entries.

    Most lines hold no word of the target language, and are passed over without being parsed.

    Raises:
      InputError: the file can't be read, a line that is parsed isn't a JSON object, or the file has
        no translation from and to these languages.

    Example, of a line with {"word": "tea", "lang_code": "en", "pos": "noun", "translations":
    [{"code": "hi", "word": "चाय", "sense": "beverage"}]}:
      >>> next(read(Job("kaikki.jsonl", "en", "hi")))[:5]
      ('tea', 'चाय', None, 'noun', 'beverage')
    """
    found = False
    for entry in _entries(job, job.source_language, job.target_language):
        if entry.get("lang_code") == job.source_language:
            for translation, sense in _translations(entry):
                word = translation.get("word")
                if word and _code(translation) == job.target_language:
                    found = True
                    yield Record(entry.get("word", ""), word, None, entry.get("pos", ""), sense)
    if not found:
        raise _missing(job)


def _entries(job: Job, *codes: str) -> Iterator[Mapping[str, Any]]:
    """Yields the entries of lines that hold the codes of all these languages."""
    marks = [json.dumps(code).encode() for code in codes]
    with job.opened() as lines:
        for number, line in enumerate(lines, start=1):
            # The first line shows the format, and one without an end may have been cut off.
            if number == 1 or not line.endswith(b"\n") or all(mark in line for mark in marks):
                entry = None
                try:
                    entry = json.loads(line)
                except UnicodeDecodeError:
                    raise
                except ValueError:
                    pass
                if not isinstance(entry, dict):
                    raise InputError(
                        f"{job.path}:{number}: not a JSON object; expected an entry of "
                        "kaikki.org's JSONL, whole"
                    )
                yield entry


def _translations(entry: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    for translation in entry.get("translations", ()):
        yield translation, translation.get("sense", "")
    for sense in entry.get("senses", ()):
        glosses = sense.get("glosses") or [""]
        for translation in sense.get("translations", ()):
            yield translation, translation.get("sense") or glosses[0]


def _code(translation: Mapping[str, Any]) -> str:
    return translation.get("lang_code") or translation.get("code") or ""


def _missing(job: Job) -> InputError:
    """Reads the file once more, for the languages it has."""
    sources, targets = collections.Counter(), collections.Counter()
    for entry in _entries(job):
        language = entry.get("lang_code", "")
        sources[language] += 1
        if language == job.source_language:
            targets.update(_code(translation) for translation, _ in _translations(entry))
    wanted, known = job.target_language, targets
    if job.source_language not in sources:
        wanted, known = job.source_language, sources
    return job.missing(wanted, [code for code, _ in known.most_common() if code])
