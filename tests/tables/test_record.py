import dataclasses
import json

import pytest

from commit_t5x.errors import InputError
from commit_t5x.tables import record, stages


def trained(out, row="commit", seed=0, step=2):
    (out / "models" / row / f"seed_{seed}" / f"checkpoint_{step}").mkdir(parents=True)


def test_settings_of_a_folder_stay(tmp_path):
    record.Record(tmp_path / "out", {"table": "table3"}).write()
    record.Record(tmp_path / "out", {"table": "table4", "limit": 20}).write()  # as nothing was made
    trained(tmp_path / "out")
    record.Record(tmp_path / "out", {"table": "table4", "limit": 20})
    for other, message in (
        ({"table": "table3", "limit": 20}, 'table "table4", not "table3"'),
        ({"table": "table4"}, "limit 20, not none"),
        ({"table": "table4", "limit": 20, "labels": "l.toml"}, 'labels none, not "l.toml"'),
    ):
        with pytest.raises(InputError, match=f"out/table.json: was made with {message}; go back"):
            record.Record(tmp_path / "out", other)


def test_gin_files_of_a_row_stay(tmp_path):
    kept = record.Record(tmp_path / "out", {})
    kept.set_rows({"commit": "81c3", "alpaca": "81c3"})
    kept.write()
    trained(tmp_path / "out")
    record.Record(tmp_path / "out", {}).set_rows({"commit": "81c3", "alpaca": "92d4"})
    with pytest.raises(InputError, match="gin files of row commit were others.*models/commit to"):
        record.Record(tmp_path / "out", {}).set_rows({"commit": "92d4"})


def test_questions_of_a_folder_stay(tmp_path):
    kept = record.Record(tmp_path / "out", {})
    kept.set_questions({"ogx_xquad_hi": "81c3"})
    kept.write()
    record.Record(tmp_path / "out", {}).set_questions({"ogx_xquad_hi": "92d4"})  # nothing is scored
    (tmp_path / "out" / "results").mkdir()
    (tmp_path / "out" / "results" / "base.json").write_text("{}")
    record.Record(tmp_path / "out", {}).set_questions({"ogx_xquad_hi": "81c3", "ogx_xquad_en": "5"})
    with pytest.raises(InputError, match="questions of ogx_xquad_hi were others when.*out/results"):
        record.Record(tmp_path / "out", {}).set_questions({"ogx_xquad_hi": "92d4"})


def test_weights_that_stages_started_from_stay(tmp_path, table, settings):
    train, score = stages.build(table, ["commit"], [0], settings)
    base = tmp_path / "base" / "checkpoint_0"
    train = dataclasses.replace(train, start=base.parent)
    for folder in (base, train.output):
        folder.mkdir(parents=True)
        (folder / "d81c3").write_text("weights")
    kept = record.Record(tmp_path / "out", {})
    kept.check_starts([train, score])
    assert not score.done()
    whole = {"results": {"ogx_xquad_hi": {}}, "config": {"model_args": score.model_args}}
    score.output.parent.mkdir(parents=True)
    kept.begin(score)
    score.output.write_text(json.dumps(whole))
    kept.add(score, 5.0, 0)
    again = record.Record(tmp_path / "out", {})
    (base.parent / "metrics.jsonl").write_text("")  # no weights
    again.check_starts([train, score])
    (train.output / "d81c3").rename(train.output / "d92d4")  # trained anew
    with pytest.raises(InputError, match="score-commit-0 was made from other files than are in"):
        again.check_starts([train, score])
    (base / "d81c3").write_text("others")
    folder = train.output.parent  # as what comes before its end is of the old base, too
    with pytest.raises(InputError, match=f"train-commit-0 was .*base now; .*remove {folder} to"):
        again.check_starts([train, score])


def test_tokenizer_beside_the_weights_stays(tmp_path, table, settings):
    [train, _] = stages.build(table, ["commit"], [0], settings)
    base = tmp_path / "base" / "checkpoint_0"
    for folder in (base, train.output):
        folder.mkdir(parents=True)
    for place in (base, base.parent):  # a start is one or the other
        tokenizer = base.parent / "tokenizer.json"
        tokenizer.write_text("one")
        stage = dataclasses.replace(train, start=place)
        kept = record.Record(tmp_path / "out", {})
        kept.check_starts([stage])
        kept.check_starts([stage])
        tokenizer.write_text("two")
        with pytest.raises(InputError, match="train-commit-0 was made from other files than are"):
            kept.check_starts([stage])
        tokenizer.unlink()
        with pytest.raises(InputError, match="train-commit-0 was made from other files than are"):
            kept.check_starts([stage])


def test_start_is_told_by_what_is_read_of_it(tmp_path, table, settings):
    [train, _] = stages.build(table, ["commit"], [0], settings)
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "model.safetensors").write_text("weights")
    (folder / "generation_config.json").write_text("2")
    (tmp_path / "tokenizer.json").write_text("another's")
    stage = dataclasses.replace(train, start=folder)
    found = stage.started_from()
    (tmp_path / "tokenizer.json").write_text("a third's")
    assert stage.started_from() == found
    (folder / "generation_config.json").write_text("7")
    assert stage.started_from() != found
    checkpoint = tmp_path / "model" / "checkpoint_0"
    checkpoint.mkdir(parents=True)
    stage = dataclasses.replace(train, start=checkpoint.parent)
    found = stage.started_from()
    (checkpoint.parent / "tokenizer.json~").write_text("an editor's")
    assert stage.started_from() == found
    file = tmp_path / "model.gguf"
    file.write_text("weights")
    stage = dataclasses.replace(train, start=file)
    found = stage.started_from()
    file.write_text("other weights")
    assert stage.started_from() != found


def test_record_of_weights_only_is_read(tmp_path, table, settings):
    [train, _] = stages.build(table, ["commit"], [0], settings)
    base = tmp_path / "base" / "checkpoint_0"
    base.mkdir(parents=True)
    train.output.mkdir(parents=True)
    train = dataclasses.replace(train, start=base.parent)
    weights = train.started_from()
    (base.parent / "tokenizer.json").write_text("one")
    assert train.started_from().startswith(f"{weights}, tokenizer.json ")
    content = {"starts": {train.name: weights}}
    (tmp_path / "out" / record.FILE).write_text(json.dumps(content))
    kept = record.Record(tmp_path / "out", {})
    kept.check_starts([train])
    (base.parent / "tokenizer.json").write_text("two")
    with pytest.raises(InputError, match="train-commit-0 was made from other files"):
        kept.check_starts([train])


def test_a_training_that_goes_on_has_started_from_what_it_began_with(tmp_path, table, settings):
    [train, _] = stages.build(table, ["commit"], [0], settings)
    base = tmp_path / "base" / "checkpoint_0"
    base.mkdir(parents=True)
    train = dataclasses.replace(train, start=base.parent)
    (base / "d81c3").write_text("weights")
    kept = record.Record(tmp_path / "out", {})
    kept.begin(train)
    (base / "d81c3").rename(base / "d92d4")
    record.Record(tmp_path / "out", {}).check_starts([train])  # it came to no checkpoint
    trained(tmp_path / "out")
    with pytest.raises(InputError, match="train-commit-0 was made from other files than are in"):
        record.Record(tmp_path / "out", {}).check_starts([train])


def test_folders_of_other_things_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(InputError, match="no table's"):
            record.Record(place, {})
    (tmp_path / "file").unlink()
    (tmp_path / "models").mkdir()  # what commands by hand have begun
    record.Record(tmp_path, {})
    (tmp_path / "table.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        record.Record(tmp_path, {})
    for broken in ({"settings": 3}, {"bindings": []}, {"seconds": {"train": ["a", 2]}}):
        (tmp_path / "table.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match=f"table.json: {[*broken][0]}: not a table's"):
            record.Record(tmp_path, {})


def test_what_is_left_is_estimated_from_what_ran(tmp_path, table, settings):
    train, score = stages.build(table, ["commit"], [0], settings)
    kept = record.Record(tmp_path / "out", {})
    assert kept.total([train, score]) == (0, 2)
    kept.add(dataclasses.replace(train, steps=10), 30.0, 10)
    kept = record.Record(tmp_path / "out", {})
    assert kept.left(train) == pytest.approx(12.0)  # 4 steps at 3 s
    assert kept.total([train, score]) == (pytest.approx(12.0), 1)
    (train.output.parent / "checkpoint_3").mkdir(parents=True)
    assert kept.left(train) == pytest.approx(3.0)
    train.output.mkdir()
    kept.add(score, 5.0, 0)
    assert kept.total([train, score]) == (pytest.approx(5.0), 0)
    assert json.loads((tmp_path / "out" / "table.json").read_text())["seconds"]["score"] == [5.0, 1]


def test_a_folder_of_several_languages_is_told(tmp_path):
    for language in ("hi", "el"):
        record.Record(tmp_path / language, {}).write()
    with pytest.raises(InputError, match=f"each of several languages; .* such as {tmp_path}/el"):
        record.Record(tmp_path, {})
