import dataclasses

import pytest

from commit_t5x.errors import InputError
from commit_t5x.tables import rows

TABLES = {
    "main_results": ["base", "alpaca", "commit", "align_commit"],
    "table3": ["base", "naive_clm_commit", "codemixed_clm_commit"],
    "table4": ["base", "naive_codemix", "commit"],
    "hidden_states": ["base", "l2", "avgdist", "cos"],
}


@pytest.mark.parametrize("name", TABLES)
def test_rows_of_the_paper(name, flags):
    bindings = [*flags.gin_bindings, "INITIAL_CHECKPOINT_PATH='llama'"]
    flags = dataclasses.replace(flags, gin_bindings=bindings)
    table = rows.read(name, flags)
    assert rows.choose(table, None) == TABLES[name]
    assert all((row.base, row.language, row.steps) == ("llama", "hi", 4) for row in table.values())
    compared = [table[row].compared_with for row in TABLES[name][1:]]
    assert compared == TABLES[name][:-1]  # each with the one before


def test_what_a_row_starts_from(flags):
    table = rows.read("main_results", flags)
    assert {name: row.starts_from for name, row in table.items() if row.starts_from} == {
        "align_commit": "align"
    }
    assert rows.choose(table, ["align", "commit"]) == ["align", "commit"]
    assert "base" not in rows.choose(table, None)  # models/debug.gin has none


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        compared = "" if "COMPARED_WITH" in text else "COMPARED_WITH = None\n"
        text = f'include "main_results/commit.gin"\n{compared}{text}\n'
        (folder / f"{name}.gin").write_text(text)
    return str(folder)


def test_a_folder_of_ones_own(tmp_path, flags, capsys):
    mine = write(tmp_path / "mine", low="CODEMIX_RATIO = 0.3", high='COMPARED_WITH = "low"')
    flags = dataclasses.replace(flags, gin_search_paths=[str(tmp_path)])
    assert [*rows.read("mine", flags)] == ["low", "high"]
    assert not capsys.readouterr().err  # no training uses what only the table reads
    assert [*rows.read(mine, flags)] == ["low", "high"]


@pytest.mark.parametrize(
    "files, message",
    [
        ({"a": 'STARTS_FROM = "alihn"', "align": ""}, "a.gin: STARTS_FROM: .* did you mean align"),
        ({"a": 'COMPARED_WITH = "c"'}, "a.gin: COMPARED_WITH: no row 'c'"),
        ({"a": "STARTS_FROM = 5"}, "a.gin: STARTS_FROM: no row 5; name one"),
        ({"a": 'STARTS_FROM = "b"', "b": 'STARTS_FROM = "a"'}, "STARTS_FROM leads back to a"),
        ({"a": 'COMPARED_WITH = "a"'}, "COMPARED_WITH leads back to a"),
        ({"a": 'STARTS_FROM = "b"', "b": 'STARTS_FROM = "c"'}, "b.gin: STARTS_FROM: no row 'c'"),
        ({"base": ""}, "rename the file"),
        ({"a": "CODEMIX_RATIO = 3.5"}, "a.gin: CODEMIX_RATIO: 3.5 doesn't fit"),
        ({"a": "TRAIN_STEP = 3"}, "did you mean TRAIN_STEPS"),
    ],
)
def test_folders_that_say_wrong_things(files, message, tmp_path, flags):
    with pytest.raises(InputError, match=message):
        rows.read(write(tmp_path / "mine", **files), flags)


def test_what_a_row_binds_is_known_by_a_hash(tmp_path, flags):
    folder = write(tmp_path / "mine", a="CODEMIX_RATIO = 0.3")
    before = rows.read(folder, flags)["a"].config
    assert rows.read(folder, flags)["a"].config == before
    write(tmp_path / "mine", a="CODEMIX_RATIO = 0.3\nCOMPARED_WITH = 'base'")  # is no training's
    assert rows.read(folder, flags)["a"].config == before
    write(tmp_path / "mine", a="CODEMIX_RATIO = 0.4")
    assert rows.read(folder, flags)["a"].config != before


def test_flags_that_take_away_what_rows_differ_by(tmp_path, flags):
    low, high = "CODEMIX_RATIO = 0.3", "CODEMIX_RATIO = 0.6"
    folder = write(tmp_path / "mine", low=low, high=high, other=f"{low}\nDROPOUT_RATE = 0.1")
    table = rows.read(folder, flags)
    rows.check_distinct(table, [*table])
    assert rows.levelled(table, ["high", "low", "other"]) == []
    level = dataclasses.replace(flags, gin_bindings=[*flags.gin_bindings, "CODEMIX_RATIO=0.5"])
    table = rows.read(folder, level)
    assert rows.levelled(table, ["high", "low", "other"]) == [
        "CODEMIX_RATIO = 0.5 in all rows by the flags, by their files 0.6 (high), 0.3 (low), "
        "0.3 (other)"
    ]
    with pytest.raises(InputError, match="rows high and low are the same with these flags; leave"):
        rows.check_distinct(table, ["high", "low", "other"])
    rows.check_distinct(table, ["low", "other"])


def test_unknown_tables_and_rows(flags, table):
    with pytest.raises(InputError, match="main_result: no such folder.*did you mean main_results"):
        rows.read("main_result", flags)
    without = {name: dataclasses.replace(one, base=None) for name, one in table.items()}
    with pytest.raises(InputError, match="--rows: no base; give it"):
        rows.choose(without, ["base"])


def test_rows_that_differ_where_they_must_not(table):
    assert rows.common(table, "base") == "llama"
    assert rows.common(table, "labels") is None
    table["alpaca"] = dataclasses.replace(table["alpaca"], base="other")
    with pytest.raises(InputError, match="rows differ in their base: llama and other"):
        rows.common(table, "base")


@pytest.mark.parametrize(
    "macro, message",
    [
        ("DICT_DIR='nowhere'", "nowhere/en-hi.txt: no dictionary"),
        ("ALPACA_PATH='nowhere.jsonl'", "nowhere.jsonl"),
        ("INITIAL_CHECKPOINT_PATH='nowhere'", "nowhere: no such checkpoint"),
    ],
)
def test_a_training_that_could_not_begin(macro, message, tmp_path, flags):
    row = rows.read("table4", flags)["commit"]
    if macro.startswith("DICT_DIR"):
        rows.check(row, flags, MODEL_DIR=str(tmp_path))  # but for it, it could
    flags = dataclasses.replace(flags, gin_bindings=[*flags.gin_bindings, macro])
    with pytest.raises(InputError, match=message):
        rows.check(row, flags, MODEL_DIR=str(tmp_path))
