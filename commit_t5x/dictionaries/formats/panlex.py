"""PanLex: its SQLite file (PanLex Lite, either layout) or its folder of CSV tables."""

import contextlib
import csv
import pathlib
import sqlite3
import struct
import tempfile
from collections.abc import Iterator

from commit_t5x.dictionaries.formats.jobs import Job, reading
from commit_t5x.errors import InputError
from commit_t5x.mixing.dictionary_files import Record

LICENCE = "CC0-1.0"
_MAGIC = b"SQLite format 3\0"

# The tables of the CSV dump, with the columns that are wanted.
_TABLES = {
    "langvar": ("id", "lang_code"),
    "expr": ("id", "langvar", "txt"),
    "denotation": ("meaning", "expr"),
}
# Layout, by a table that only it has -> the query. A translation that several sources give has the
# sum of their qualities as its weight; the CSV tables have none, so each counts as 1.
_QUERIES = {
    "denotationx": """
        SELECT s.txt, t.txt, SUM(quality) FROM (
            SELECT a.expr AS x, b.expr AS y, MAX(b.quality) AS quality
            FROM langvar l JOIN denotationx a ON a.langvar = l.id
            JOIN denotationx b ON b.meaning = a.meaning JOIN langvar m ON b.langvar = m.id
            WHERE l.lang_code = ? AND m.lang_code = ? AND a.expr != b.expr
            GROUP BY a.expr, b.expr, b.grp)
        JOIN expr s ON s.id = x JOIN expr t ON t.id = y GROUP BY x, y""",
    "dnx": """
        SELECT s.tt, t.tt, SUM(quality) FROM (
            SELECT a.ex AS x, b.ex AS y, MAX(b.uq) AS quality
            FROM lv l JOIN ex e ON e.lv = l.lv JOIN dnx a ON a.ex = e.ex
            JOIN dnx b ON b.mn = a.mn JOIN ex f ON f.ex = b.ex JOIN lv m ON f.lv = m.lv
            WHERE l.lc = ? AND m.lc = ? AND a.ex != b.ex
            GROUP BY a.ex, b.ex, b.ui)
        JOIN ex s ON s.ex = x JOIN ex t ON t.ex = y GROUP BY x, y""",
    "denotation": """
        SELECT s.txt, t.txt, COUNT(*)
        FROM langvar l JOIN expr s ON s.langvar = l.id JOIN denotation a ON a.expr = s.id
        JOIN denotation b ON b.meaning = a.meaning JOIN expr t ON t.id = b.expr
        JOIN langvar m ON m.id = t.langvar
        WHERE l.lang_code = ? AND m.lang_code = ? AND s.id != t.id GROUP BY s.id, t.id""",
}
_CODES = {"dnx": "SELECT DISTINCT lc FROM lv ORDER BY lc"}
_OTHER_CODES = "SELECT DISTINCT lang_code FROM langvar ORDER BY lang_code"


def read(job: Job) -> Iterator[Record]:
    """Yields pairs of expressions that share a meaning, weighted by how well that is attested.

    PanLex names languages by ISO 639-3: eng, hin.

    Raises:
      InputError: the place isn't PanLex's, can't be read, or lacks a language.

    Example:
      >>> next(read(Job("panlex_lite/db.sqlite", "eng", "hin")))[:3]
      ('tea', 'चाय', 9.0)
    """
    opened = _from_csv(job) if job.path.is_dir() else _from_sqlite(job)
    with opened as database:
        try:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            layout = next((name for name in _QUERIES if name in tables), None)
            if layout is None:
                raise InputError(f"{job.path}: none of PanLex's tables in it; expected PanLex Lite")
            languages = job.source_language, job.target_language
            codes = [code for (code,) in database.execute(_CODES.get(layout, _OTHER_CODES))]
            for language in languages:
                if language not in codes:
                    raise job.missing(language, codes)
            for source, target, weight in database.execute(_QUERIES[layout], languages):
                yield Record(source, target, float(weight) if weight else None)
        except sqlite3.Error as error:
            raise InputError(f"{job.path}: not PanLex's SQLite file, whole ({error})") from error


@contextlib.contextmanager
def _from_sqlite(job: Job) -> Iterator[sqlite3.Connection]:
    with job.opened(watched=False) as file:
        header = file.read(32)
    page_bytes, pages = struct.unpack_from(">H10xI", header, 16) if len(header) == 32 else (0, 0)
    # SQLite reads what is missing of the last page as zeros.
    if not header.startswith(_MAGIC) or job.path.stat().st_size < pages * page_bytes:
        raise InputError(f"{job.path}: not PanLex's SQLite file, whole; unpack or fetch it again")
    uri = f"{job.path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        yield database


@contextlib.contextmanager
def _from_csv(job: Job) -> Iterator[sqlite3.Connection]:
    """Puts the tables into a database on the disk, as they hold tens of millions of rows."""
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.closing(sqlite3.connect(f"{folder}/panlex.sqlite")) as database:
            for table, columns in _TABLES.items():
                database.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
                marks = ", ".join("?" * len(columns))
                rows = _rows(job.path / f"{table}.csv", columns)
                database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
            for table, column in (
                ("expr", "id"),
                ("expr", "langvar"),
                ("denotation", "expr"),
                ("denotation", "meaning"),
            ):
                database.execute(f"CREATE INDEX {table}_{column} ON {table} ({column})")
            yield database


def _rows(path: pathlib.Path, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    with reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if not set(columns) <= set(header):
            raise InputError(f"{path}: columns {', '.join(header)}; expected {', '.join(columns)}")
        places = [header.index(column) for column in columns]
        for row in rows:
            if len(row) != len(header):
                raise InputError(
                    f"{path}:{rows.line_num}: expected {len(header)} columns, found {len(row)}"
                )
            yield tuple(row[place] for place in places)
