"""Tables as https://dev.panlex.org/database-design and PanLex Lite's README name them."""

import sqlite3

import pytest

from commit_t5x.dictionaries.formats import panlex
from commit_t5x.dictionaries.formats.jobs import Job
from commit_t5x.errors import InputError

LANGUAGES = [(1, "eng"), (2, "hin"), (3, "ell")]
EXPRESSIONS = [(10, 1, "tea"), (20, 2, "चाय"), (21, 2, "पेय"), (30, 3, "τσάι"), (40, 1, "cuppa")]
# meaning, source group, quality, expression: two groups give tea-चाय, one of them twice.
DENOTATIONS = [
    *((1, 1, 4, 10), (1, 1, 4, 20), (1, 1, 4, 40), (2, 1, 7, 10), (2, 1, 7, 20)),
    *((3, 2, 2, 10), (3, 2, 2, 20), (3, 2, 2, 30), (4, 3, 5, 10), (4, 3, 5, 21)),
]
PAIRS = {("tea", "चाय", 9.0), ("tea", "पेय", 5.0), ("cuppa", "चाय", 4.0)}


def write_lite(path, layout):
    language = {expression: number for expression, number, _ in EXPRESSIONS}
    with sqlite3.connect(path) as database:
        if layout == "old":
            database.execute("CREATE TABLE lv (lv, lc)")
            database.execute("CREATE TABLE ex (ex, lv, tt)")
            database.execute("CREATE TABLE dnx (mn, ui, uq, ex)")
            names, rows = ("lv", "ex", "dnx"), DENOTATIONS
        else:
            database.execute("CREATE TABLE langvar (id, lang_code)")
            database.execute("CREATE TABLE expr (id, langvar, txt)")
            database.execute("CREATE TABLE denotationx (meaning, grp, quality, expr, langvar)")
            names = "langvar", "expr", "denotationx"
            rows = [(*row, language[row[-1]]) for row in DENOTATIONS]
        for name, table in zip(names, (LANGUAGES, EXPRESSIONS, rows), strict=True):
            marks = ",".join("?" * len(table[0]))
            database.executemany(f"INSERT INTO {name} VALUES ({marks})", table)
    database.close()


def read(place, source="eng", target="hin"):
    return {record[:3] for record in panlex.read(Job(str(place), source, target))}


@pytest.mark.parametrize("layout", ["old", "new"])
def test_panlex_lite(tmp_path, layout):
    write_lite(tmp_path / "db.sqlite", layout)
    assert read(tmp_path / "db.sqlite") == PAIRS
    with pytest.raises(InputError, match="nothing in language 'en'; it has ell, eng, hin; did"):
        read(tmp_path / "db.sqlite", "en")


@pytest.fixture
def tables(tmp_path):
    def write(name, header, rows):
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")

    write("langvar", "id,lang_code", LANGUAGES)
    write("expr", "id,langvar,txt", EXPRESSIONS)
    rows = [(n, meaning, ex) for n, (meaning, *_, ex) in enumerate(DENOTATIONS)]
    write("denotation", "id,meaning,expr", rows)
    return tmp_path


def test_csv(tables):
    assert read(tables) == {("tea", "चाय", 3.0), ("tea", "पेय", 1.0), ("cuppa", "चाय", 1.0)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,txt\n1,tea\n", "expr.csv: columns id, txt; expected id, langvar, txt"),
        ("id,langvar,txt\n1,1\n", "expr.csv:2: expected 3 columns, found 2"),
        ('id,langvar,txt\n1,1,"' + "x" * 200_000, "expr.csv: not CSV, or cut off"),
    ],
)
def test_other_tables(tables, content, message):
    (tables / "expr.csv").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read(tables)
    (tables / "expr.csv").unlink()
    with pytest.raises(InputError, match="expr.csv: no such file"):
        read(tables)


def test_other_databases(tmp_path):
    sqlite3.connect(tmp_path / "empty").execute("CREATE TABLE x (y)").connection.close()
    with pytest.raises(InputError, match="empty: none of PanLex's tables in it"):
        read(tmp_path / "empty")
    write_lite(tmp_path / "whole", "new")
    (tmp_path / "cut").write_bytes((tmp_path / "whole").read_bytes()[:-3000])
    for name, content in (("cut", None), ("text", b"tea\tti\n" * 999)):
        if content:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: not PanLex's SQLite file"):
            read(tmp_path / name)
