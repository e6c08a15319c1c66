import json

import pytest

from commit_t5x.tables import result, stages


@pytest.fixture
def score(table, settings):
    """Returns a function that fills result files: score({"commit": 50.0}, seeds=[0])."""

    def score(f1, seeds):
        found = stages.build(table, ["base", "alpaca", "commit"], [0, 1], settings)
        for stage in found:
            if stage.kind == "score" and stage.row in f1 and stage.seed in (None, *seeds):
                content = {
                    "results": {"ogx_xquad_hi": {"f1,none": f1[stage.row]}},
                    "sample_scores": {"ogx_xquad_hi": {"f1": [f1[stage.row]] * 4}},
                    "config": {"model_args": stage.model_args},
                }
                stage.output.parent.mkdir(parents=True, exist_ok=True)
                stage.output.write_text(json.dumps(content))
        return found

    return score


def write(table, chosen, found, folder):
    contents, problem = result.scored(chosen, found)
    result.write(table, chosen, contents, folder)
    return problem


def test_rows_and_tests(score, table, tmp_path, capsys):
    found = score({"base": 1.0, "alpaca": 2.0, "commit": 30.0}, seeds=[0, 1])
    write(table, ["base", "alpaca", "commit"], found, tmp_path / "report")
    printed = capsys.readouterr().out
    assert "| commit |     30.0 ±0.0 |" in printed
    tests = (tmp_path / "report" / "comparisons.md").read_text()
    assert tests in printed + "\n"
    assert "| commit | alpaca    | xquad_hi | f1       |        +28.0 |" in tests
    assert "| alpaca | base      | xquad_hi | f1       |         +1.0 |" in tests
    names = {path.suffix for path in (tmp_path / "report").iterdir()}
    assert {".md", ".csv", ".tex", ".png"} == names


def test_rows_without_scores_are_gaps(score, table, tmp_path, capsys):
    found = score({"base": 1.0, "commit": 30.0}, seeds=[0, 1])
    write(table, ["base", "alpaca", "commit"], found, tmp_path / "report")
    printed = capsys.readouterr().out
    assert "| alpaca |             – |" in printed
    assert "commit: not compared: alpaca has no scores." in printed
    tests = (tmp_path / "report" / "comparisons.md").read_text()
    assert tests == "commit: not compared: alpaca has no scores.\n"


def test_no_test_is_left_of_a_run_with_more_rows(score, table, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "comparisons.md").write_text("of a run with more rows")
    write(table, ["base"], score({"base": 1.0}, seeds=[]), tmp_path / "report")
    assert not (tmp_path / "report" / "comparisons.md").exists()


def test_a_row_with_other_questions_costs_no_other_tests(score, table, tmp_path, capsys):
    found = score({"base": 1.0, "alpaca": 2.0, "commit": 30.0}, seeds=[0])
    for stage in found:
        if stage.row == "base":
            content = json.loads(stage.output.read_text())
            content["n-samples"] = {"ogx_xquad_hi": {"effective": 3}}
            stage.output.write_text(json.dumps(content))
    write(table, ["base", "alpaca", "commit"], found, tmp_path / "report")
    printed = capsys.readouterr().out
    assert "| commit | alpaca    | xquad_hi | f1       |        +28.0 |" in printed
    assert "alpaca: not compared: with base, ogx_xquad_hi: questions None instead of 3" in printed


def test_rows_that_lack_a_seed_are_marked(score, table, tmp_path, capsys):
    score({"base": 1.0, "alpaca": 2.0}, seeds=[0, 1])
    found = score({"commit": 30.0}, seeds=[1])
    write(table, ["base", "alpaca", "commit"], found, tmp_path / "report")
    printed = capsys.readouterr().out
    assert "not compared: seeds 1 instead of 0, 1" in printed
    assert "alpaca and commit: seeds: 0, 1 and 1." in printed  # below the tests


def test_a_seed_that_was_scored_otherwise_costs_its_row_alone(score, table, tmp_path, capsys):
    found = score({"base": 1.0, "alpaca": 2.0, "commit": 30.0}, seeds=[0, 1])
    [*_, last] = (stage for stage in found if stage.row == "commit")
    content = json.loads(last.output.read_text())
    last.output.write_text(json.dumps({**content, "versions": {"ogx_xquad_hi": 3}}))
    problem = write(table, ["base", "alpaca", "commit"], found, tmp_path / "report")
    assert "commit/seed_1.json: ogx_xquad_hi: other questions, prompts or options" in problem
    printed = capsys.readouterr().out
    assert "| alpaca | base      | xquad_hi | f1       |         +1.0 |" in printed
    assert "| commit |             – |" in printed


def test_nothing_to_show(score, table, tmp_path, capsys):
    write(table, ["base"], score({}, seeds=[]), tmp_path / "report")
    assert capsys.readouterr().out == ""


def test_languages_are_columns_of_one_table(tmp_path, capsys):
    def content(language, own, english):
        scores = {f"ogx_xquad_{language}": own, "ogx_xquad_en": english}
        return {
            "results": {task: {"f1,none": value} for task, value in scores.items()},
            "sample_scores": {task: {"f1": [value] * 4} for task, value in scores.items()},
        }

    of_rows = {
        "commit": {"hi": content("hi", 30.0, 50.0), "el": content("el", 40.0, 60.0)},
        "alpaca": {"hi": content("hi", 20.0, 50.0)},  # el's failed
    }
    result.write_scores(result.union(of_rows), ["commit", "alpaca"], tmp_path)
    lines = capsys.readouterr().out.splitlines()
    names, values = ([cell.strip() for cell in lines[n].split("|")] for n in (0, 2))
    assert "alpaca" in lines[3] and lines[3].count("–") == 2
    values = [value.strip("*") for value in values]
    assert dict(zip(names, values, strict=True)) | {"": ""} == {
        "": "",
        "run": "commit",
        "xquad_hi F1": "30.0 ±0.0",
        "xquad_el F1": "40.0 ±0.0",
        "xquad_en (hi) F1": "50.0 ±0.0",
        "xquad_en (el) F1": "60.0 ±0.0",
    }
