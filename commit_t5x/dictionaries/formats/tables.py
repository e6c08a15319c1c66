"""Tables of word pairs: MUSE, TSV, CSV, GATITOS; the project's own files among them."""

import re
from collections.abc import Iterator

from commit_t5x.dictionaries.formats.jobs import Job
from commit_t5x.errors import InputError
from commit_t5x.mixing import dictionary_files
from commit_t5x.mixing.dictionary_files import Record


def read(job: Job) -> Iterator[Record]:
    """Yields a table's records as they stand; lines that aren't pairs are left out.

    Raises:
      InputError: most lines are none, the table can't be read, or it is named after other languages
        (en-hi.txt, en_hi.tsv).
    """
    languages = job.source_language, job.target_language
    named = re.fullmatch("([a-z]{2,3})[-_]([a-z]{2,3})", job.path.name.partition(".")[0])
    if named and named.groups() != languages:
        raise InputError(
            f"{job.path}: is named as from {named[1]} to {named[2]}, not {' to '.join(languages)}; "
            "`commit-t5x dicts invert` turns a dictionary round"
        )
    odd_lines, pairs = [], 0
    for record in dictionary_files.read_records(job.path, lambda *line: odd_lines.append(line)):
        yield record
        pairs += 1
    if len(odd_lines) > pairs:
        number, reason = odd_lines[0]
        raise InputError(f"{job.path}:{number}: {reason}; most lines are not word pairs")
    job.skipped["lines that aren't pairs"] += len(odd_lines)
