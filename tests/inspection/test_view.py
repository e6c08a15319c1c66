import contextlib
import html
import os
import re
import sys
import unicodedata

import pytest
import texts as made_texts
from hypothesis import given
from hypothesis import strategies as st

from commit_t5x.inspection import texts, view
from commit_t5x.inspection.examples import Example, Token
from commit_t5x.inspection.report import Tally
from commit_t5x.inspection.runs import Inspection, TaskInspection
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.mixing.segmenters import WhitespaceSegmenter

WORDS = Lexicon({"tea": ("चाय",), "water": ("น้ำ",), "the": ("the",), "tag": ("<b>&",)})
ROLES = [(0, "template"), (9, "input")]
TOKENS = [(0, 12, False, 0), (12, 14, False, None), (14, 18, True, 0), (18, 99, True, 1)]


def make(text, tokens, rows=1, roles=((0, "text"),), index=0):
    """An example with these words replaced, of which tokens are (start, end, loss, row)."""
    mixer = CodeMixer(WORDS, ratio=1.0, segmenter=WhitespaceSegmenter())
    text = texts.Text(tuple(texts.mix(mixer, text, roles, (0, 0), 1.0)))
    tokens = tuple(Token(number + 3, *token) for number, token in enumerate(tokens))
    return Example(index, text, tokens, rows, True, len(text.source), len(text.text))


def inspection(*examples):
    tally = Tally()
    for example in examples:
        tally.add(example)
    task = TaskInspection("task", 0.25, examples, tally.report(row_length=8))
    return Inspection("mixture", "train", 42, 0, True, 8, (task,))


@pytest.fixture
def show(capsys, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def show(*examples, width=80, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        view.show(inspection(*examples), "[A] note", width=width)
        return capsys.readouterr().out

    return show


def test_a_reader_who_has_gone_is_for_the_command_line_to_deal_with(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with contextlib.suppress(BrokenPipeError), open(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        with pytest.raises(BrokenPipeError):
            view.show(inspection(make("the tea", [])))


def test_a_pipe_gets_marks_in_place_of_styles(show):
    out = show(make("Template tea, a b c water", TOKENS, rows=2, roles=ROLES, index=1234))
    assert "\x1b" not in out
    assert out.startswith("[A] note\nmixture\nsplit train · epoch 0 · seed 42 · rows of 8 tokens")
    assert "\ntask, example 1,234 " in out
    assert "\nTemplate चाय⟨tea⟩⟪cut: , ⟫⟦a b [row 2]c น้ำ⟨water⟩⟧\n" in out
    assert "CUT: 1 tokens taken out" in out
    assert "\ntask (25.0 % of the mixture): mix report on 1 examples " in out
    assert re.search(r"effective ratio +33\.3 %  2 words replaced\n", out)
    assert re.search(r"most replaced +1  tea → चाय\n", out)
    assert not re.search(r" \n", out.split("mix report")[1])


def test_styles_on_a_terminal(show):
    example = make("Template tea, a b c water", TOKENS, rows=2, roles=ROLES)
    out = show(example, FORCE_COLOR="1", TERM="xterm")
    assert "\x1b[2mTemplate\x1b[0m" in out  # dim
    assert "\x1b[1;35mचाय\x1b[0m\x1b[3;36m⟨tea⟩\x1b[0m" in out
    assert "\x1b[9;31m, \x1b[0m" in out  # struck through
    assert "\x1b[1;4;35mน้ำ\x1b[0m" in out  # underlined
    assert "⟦" not in out
    out = show(example, NO_COLOR="1")  # keeps weight and underline
    assert "\x1b[1mचाय\x1b[0m\x1b[3m⟨tea⟩\x1b[0m" in out
    assert "\x1b[1;4mน้ำ\x1b[0m" in out
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", out)


def test_controls_of_the_data_do_not_reach_the_terminal(show):
    out = show(make("a\x1b[31mb\rc\u202ed", [(0, 99, False, 0)]))
    assert "a␛[31mb␍c\ufffdd" in out


def test_replaced_words_of_the_template_are_no_template():
    example = make("A tea: water", [(0, 99, False, 0)], roles=[(0, "template"), (7, "input")])
    spans = [(s.style, s.start, s.end) for s in view._text(example, plain=True).spans]
    assert ("bold magenta", 2, 5) in spans
    assert not any(style == "dim" and start <= 2 < end for style, start, end in spans)


def test_a_dropped_example_is_not_struck_through(show):
    out = show(make("a b", [(0, 2, False, None), (2, 3, False, None)], rows=0), width=120)
    assert "DROPPED: longer than the row of 8" in out and "⟪" not in out.split("example 0")[1]


@given(made_texts.texts, st.lists(st.integers(0, 30), min_size=2, max_size=4))
def test_nothing_is_lost_and_no_character_torn(text, cuts):
    edges = [0, *sorted(cuts)]
    tokens = [(a, b, n % 2 == 0, 0) for n, (a, b) in enumerate(zip(edges, edges[1:], strict=False))]
    example = make(text, tokens)
    shown = view._text(example, plain=True)
    for found in example.text.replacements:
        assert f"⟨{found.source}⟩" in shown.plain
    assert not any(unicodedata.category(c).startswith("M") for c in re.findall("⟦(.)", shown.plain))
    plain = re.sub("[⟦⟧]|⟨.*?⟩", "", shown.plain)
    assert plain == re.sub("[⟦⟧]|⟨.*?⟩", "", view._visible(example.text.text))


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


def test_the_page_shows_what_the_terminal_shows_and_the_tokens():
    tokens = [(0, 9, False, 0), (9, 14, False, None), (14, 19, True, 0), (19, 98, True, 0)]
    tokens += [(29, 29, True, 0)]
    example = make("Template tea, <i>\na tag\nwater", tokens, roles=ROLES)
    page = view.page(inspection(example), "A note <with> a tag.")
    rules = dict(re.findall(r"\.(r\d+) \{(.*?)\}", page))
    styles = {
        html.unescape(text): rules.get(name, "")
        for name, text in re.findall('<span class="(.*?)">(.*?)</span>', page)
    }
    assert "underline" in styles["น้ำ"] and "bold" in styles["น้ำ"]
    assert "line-through" in styles[", "] and "italic" in styles["⟨tea⟩"]
    assert "color" in styles["Template "]
    body = page[page.index("<pre") : page.index("</pre>")]
    plain = html.unescape(re.sub("<.*?>", "", body, flags=re.DOTALL))
    assert "A note <with> a tag." in plain
    assert "Template चाय⟨tea⟩, <i>\na <b>&⟨tag⟩\nน้ำ⟨water⟩" in plain
    ids = plain[plain.index("\ntokens") :].split("  ")
    assert ids[1].split("\u00a0") == ["Template·", "3"]
    assert ids[5].partition("\n")[0].split("\u00a0") == ["EOS", "7"]
    # Nothing outside of the page is needed.
    assert not re.search(r"<(script|link|img)|\b(src|href)=|url\(|@import", page)


def test_bytes_of_a_character_go_together_and_bos_and_eos_are_named():
    tokens = [(0, 0, False, 0), (0, 1, False, 0), (1, 2, True, 0), (1, 2, True, 0), (2, 2, True, 0)]
    shown = view._tokens(make("a\n", tokens))
    tokens = [token.split("\u00a0") for token in shown.plain.split("  ")[1:]]
    assert tokens == [["BOS", "3"], ["a", "4"], ["⏎", "5", "6"], ["EOS", "7"]]
    lossy = [shown.plain[s.start : s.end] for s in shown.spans if s.style == "underline"]
    assert lossy == ["⏎", "EOS"]
