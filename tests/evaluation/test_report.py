import argparse
import json

import pytest

from commit_t5x import errors
from commit_t5x.evaluation import report


@pytest.fixture
def runs(tmp_path):
    for name, value in (("alpaca", 0.0), ("commit", 50.0)):
        content = {
            "results": {"ogx_xquad_hi": {"f1,none": value}},
            "sample_scores": {"ogx_xquad_hi": {"f1": [0.0, 2 * value]}},
            "higher_is_better": {"ogx_xquad_hi": {"f1": True}},
        }
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def command(*arguments):
    parser = argparse.ArgumentParser(prog="commit-t5x report")
    report.add_arguments(parser)
    report.main(parser.parse_args([str(argument) for argument in arguments]))


def test_prints_markdown(runs, capsys):
    command(runs)
    assert capsys.readouterr().out == (
        "| run    |    xquad_hi F1 |\n"
        "|:-------|---------------:|\n"
        "| alpaca |       0.0 ±0.0 |\n"
        "| commit | **50.0** ±50.0 |\n"
    )


def test_writes_every_format(runs, capsys):
    out = runs / "out"
    command(runs, "--format", "markdown", "latex", "csv", "png", "--output_dir", out)
    names = ["report.csv", "report.md", "report.png", "report.tex"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert capsys.readouterr().out.count("Wrote ") == 4
    assert "| commit |" in (out / "report.md").read_text(encoding="utf-8")


def test_measures_beside_the_official_ones_are_shown_on_request(runs, capsys):
    path = runs / "alpaca" / "results.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["results"]["ogx_xquad_hi"]["empty,none"] = 25.0
    path.write_text(json.dumps(content), encoding="utf-8")
    command(runs)
    assert "xquad_hi empty" not in capsys.readouterr().out
    command(runs, "--metrics", "empty")
    assert capsys.readouterr().out == (
        "| run    |   xquad_hi empty |\n"
        "|:-------|-----------------:|\n"
        "| alpaca |             25.0 |\n"
        "| commit |                – |\n"
    )
    command(runs, "--metrics", "all")
    assert "xquad_hi F1" in capsys.readouterr().out
    with pytest.raises(errors.InputError, match="metric 'em': not in the results; use all or some"):
        command(runs, "--metrics", "em")


def test_compares_two_runs(runs, capsys):
    command("--compare", runs / "alpaca", runs / "commit", "--questions", 1)
    out = capsys.readouterr().out
    assert "|      0.0 |     50.0 |        +50.0 | +0.0 to +100.0  |" in out
    assert "- question 2: f1 +100.0" in out
    with pytest.raises(errors.InputError, match="name folders of results, or two runs behind --co"):
        command()


def test_png_needs_a_folder(runs):
    with pytest.raises(errors.InputError, match="format png: needs a place for it; add --output"):
        command(runs, "--format", "png")
