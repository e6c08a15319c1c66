import re
import unicodedata

import pytest
from made_examples import make

from commit_t5x.inspection import terminal
from commit_t5x.inspection.aligned import Span
from commit_t5x.inspection.inspect import Inspection, TaskInspection
from commit_t5x.inspection.report import Tally

ROLES = [Span(0, 9, "template"), Span(9, 24, "input")]
TOKENS = [(0, 12, False, 0), (12, 14, False, None), (14, 18, True, 0), (18, 99, True, 1)]
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def inspection(*examples):
    tally = Tally()
    for example in examples:
        tally.add(example)
    task = TaskInspection("task", 1.0, examples, tally.report(row_length=8))
    return Inspection("task", "train", 42, 0, True, 8, 1, (task,))


@pytest.fixture
def show(capsys, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def show(*examples, width=80, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        terminal.show(inspection(*examples), width=width)
        return capsys.readouterr().out

    return show


def test_a_pipe_gets_marks_in_place_of_styles(show):
    out = show(make("Template tea, a b c water", TOKENS, rows=2, roles=ROLES, index=7))
    assert "\x1b" not in out
    assert "task, example 7 " in out
    assert "\nTemplate चाय⟨tea⟩⟪cut: , ⟫⟦a b [row 2]c น้ำ⟨water⟩⟧\n" in out
    assert "CUT: 1 tokens taken out" in out
    assert re.search(r"effective ratio +33\.3 %  2 words replaced\n", out)
    assert re.search(r"most replaced +1  tea → चाय\n", out)
    assert not re.search(r" \n", out.split("mix report")[1])


def test_styles_on_a_terminal(show):
    example = make("Template tea, a b c water", TOKENS, rows=2, roles=ROLES)
    out = show(example, FORCE_COLOR="1", TERM="xterm")
    assert "\x1b[2mTemplate \x1b[0m" in out  # dim
    assert "\x1b[1;35mचाय\x1b[0m\x1b[3;36m⟨tea⟩\x1b[0m" in out
    assert "\x1b[9;31m, \x1b[0m" in out  # struck through
    assert "\x1b[1;4;35mน้ำ\x1b[0m" in out  # underlined
    assert "⟦" not in out


def test_no_color_keeps_weight_and_underline(show):
    example = make("Template tea, a b c water", TOKENS, rows=2, roles=ROLES)
    out = show(example, FORCE_COLOR="1", TERM="xterm", NO_COLOR="1")
    assert "\x1b[1mचाय\x1b[0m\x1b[3m⟨tea⟩\x1b[0m" in out
    assert "\x1b[1;4mน้ำ\x1b[0m" in out
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", out)


def test_controls_of_the_data_do_not_reach_the_terminal(show):
    out = show(make("a\x1b[31mb\rc\u202ed", [(0, 99, False, 0)]))
    assert "a␛[31mb␍c\ufffdd" in out


@pytest.mark.parametrize("width", [20, 37])
def test_lines_break_before_any_terminal_breaks_them(show, width):
    text = "पानी को गिलास में डालो " * 5 + "ภูเขาไฟคือช่องเปิดบนเปลือกโลก" * 3 + "\n\n  tea"
    out = show(make(text, [(0, 999, True, 0)]), width=width)
    body = out[out.index("⟦पानी") : out.rindex("⟧") + 1]
    assert "".join(body.split()) == "".join(f"⟦{text}⟨tea⟩⟧".replace("tea⟨", "चाय⟨").split())
    for line in body.splitlines():
        assert sum(not _takes_no_cell(character) for character in line) <= width
        assert not (line and _takes_no_cell(line[0]))


def _takes_no_cell(character):
    return unicodedata.category(character) in ("Mn", "Me")


def test_long_texts_are_cut_short(show):
    out = show(make("a b " * 1500, [(0, 6000, False, 0)]))
    assert "... 2,000 more characters" in out
