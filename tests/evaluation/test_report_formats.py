import csv
import io
import math
import struct
import sys

import pytest

from commit_t5x import errors
from commit_t5x.evaluation import report_formats
from commit_t5x.evaluation.results import Report, Score

COLUMNS = [("ogx_xquad_hi", "exact_match"), ("ogx_xquad_hi", "f1"), ("other", "acc")]
REPORT = Report(
    runs=["alpaca", "commit_hi"],
    columns=COLUMNS,
    scores={
        ("alpaca", "ogx_xquad_hi", "exact_match"): Score(1.24, 0.6, 1.8, 1190),
        ("alpaca", "ogx_xquad_hi", "f1"): Score(4.0, None, None, 1190),
        ("alpaca", "other", "acc"): Score(0.5, 0.4, 0.6, 100),
        ("commit_hi", "ogx_xquad_hi", "exact_match"): Score(6.5, 5.1, 7.9, 1190),
        ("commit_hi", "ogx_xquad_hi", "f1"): Score(11.2, 9.8, 12.7, 1190),
    },
    higher_is_better=frozenset(COLUMNS),
)


def test_markdown():
    assert report_formats.to_markdown(REPORT) == (
        "| run       |   xquad_hi EM |   xquad_hi F1 |    other acc |\n"
        "|:----------|--------------:|--------------:|-------------:|\n"
        "| alpaca    |      1.2 ±0.6 |           4.0 | 0.500 ±0.100 |\n"
        "| commit_hi |  **6.5** ±1.4 | **11.2** ±1.4 |            – |\n"
    )


def test_latex():
    assert report_formats.to_latex(REPORT) == (
        "\\begin{tabular}{lrrr}\n"
        "\\toprule\n"
        " & \\multicolumn{2}{c}{xquad\\_hi} & \\multicolumn{1}{c}{other} \\\\\n"
        "\\cmidrule(lr){2-3}\\cmidrule(lr){4-4}\n"
        "Run & EM & F1 & acc \\\\\n"
        "\\midrule\n"
        "alpaca & 1.2 {\\scriptsize $\\pm$0.6} & 4.0 & 0.500 {\\scriptsize $\\pm$0.100} \\\\\n"
        "commit\\_hi & \\textbf{6.5} {\\scriptsize $\\pm$1.4} & "
        "\\textbf{11.2} {\\scriptsize $\\pm$1.4} & -- \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


def test_csv_keeps_every_digit():
    rows = list(csv.DictReader(io.StringIO(report_formats.to_csv(REPORT))))
    assert len(rows) == len(REPORT.scores)
    assert rows[0] == {
        "run": "alpaca",
        "task": "ogx_xquad_hi",
        "metric": "exact_match",
        "value": "1.24",
        "low": "0.6",
        "high": "1.8",
        "num_samples": "1190",
        "unlike": "",
    }
    assert rows[1]["low"] == ""


def test_png_is_an_image_and_repeatable():
    image = report_formats.to_png(REPORT)
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", image[16:24])
    assert width > 300 and height > 300
    assert report_formats.to_png(REPORT) == image


def test_png_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(errors.InputError, match="format png: needs matplotlib; .*commit-t5x.plot"):
        report_formats.to_png(REPORT)


COLUMN = ("t", "f1")
FULL = {"task version": "2", "questions": "1190"}
UNLIKE = Report(
    ["a|b", "x_{\n}", "~^\\", "c"],
    [COLUMN],
    {
        ("a|b", *COLUMN): Score(9.0, 8.0, 10.0, 20),
        ("x_{\n}", *COLUMN): Score(math.nan, None, None, 1190),
        ("~^\\", *COLUMN): Score(3.0, 2.0, 4.0, 1190),
        ("c", *COLUMN): Score(5.0, 4.0, 6.0, 1190),
    },
    frozenset([COLUMN]),
    {
        ("a|b", "t"): {**FULL, "questions": "20"},
        **{(run, "t"): FULL for run in ("x_{\n}", "~^\\", "c")},
    },
)
NOTE = "questions 20 instead of 1190"


def test_what_cannot_be_compared_is_marked_and_names_are_escaped():
    assert report_formats.to_markdown(UNLIKE) == (
        "| run   |         t F1 |\n"
        "|:------|-------------:|\n"
        "| a\\|b  | 9.0 ±1.0 [a] |\n"
        "| x_{ } |          NaN |\n"
        "| ~^\\\\  |     3.0 ±1.0 |\n"
        "| c     | **5.0** ±1.0 |\n"
        f"\n[a] not compared: {NOTE}\n"
    )
    latex = report_formats.to_latex(UNLIKE).splitlines()
    assert latex[6:10] == [
        r"a|b & 9.0 {\scriptsize $\pm$1.0}$^{a}$ \\",
        r"x\_\{ \} & NaN \\",
        r"\textasciitilde{}\textasciicircum{}\textbackslash{} & 3.0 {\scriptsize $\pm$1.0} \\",
        r"c & \textbf{5.0} {\scriptsize $\pm$1.0} \\",
    ]
    assert latex[-1].endswith(f"$^{{a}}$ not compared: {NOTE}}}")
    rows = list(csv.DictReader(io.StringIO(report_formats.to_csv(UNLIKE))))
    assert [row["run"] for row in rows] == UNLIKE.runs
    assert [row["unlike"] for row in rows] == [NOTE, "", "", ""]
    assert rows[1]["value"] == "nan"
    assert report_formats.to_png(UNLIKE).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "values, higher",
    [({"a": 3.0}, True), ({"a": 3.0, "b": 3.0}, True), ({"a": 30.0, "b": 20.0}, False)],
    ids=["a single run", "a tie", "lower is better"],
)
def test_where_none_is_the_best(values, higher):
    scores = {(run, *COLUMN): Score(value, None, None, 4) for run, value in values.items()}
    report = Report([*values], [COLUMN], scores, frozenset([COLUMN] if higher else []))
    assert "**" not in report_formats.to_markdown(report)
