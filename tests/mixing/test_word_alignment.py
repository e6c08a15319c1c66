import collections
import gzip
import itertools

import pytest
import source_files
from hypothesis import given
from hypothesis import strategies as st

from commit_t5x.errors import InputError
from commit_t5x.mixing import word_alignment

ENGLISH = "I drink water\nthe green tea\n\nTea !\n"
HINDI = "मैं पानी पीता हूँ\nहरी चाय\n\nचाय !\n"
LINKS = "0-0 1-2 1-3 2-1\n1-0 2-1\n\n0-0 1-1\n"
SENTENCES = [
    (["I", "drink", "water"], ["मैं", "पानी", "पीता", "हूँ"], [(0, 0), (1, 2), (1, 3), (2, 1)]),
    (["the", "green", "tea"], ["हरी", "चाय"], [(1, 0), (2, 1)]),
    ([], [], []),
    (["Tea", "!"], ["चाय", "!"], [(0, 0), (1, 1)]),
]
FILES = {"en-hi.en": ENGLISH, "en-hi.hi": HINDI, "en-hi.align": LINKS}


def write(folder, files):
    return [source_files.write(folder / name, content) for name, content in files.items()]


def test_reads_parallel_files(tmp_path):
    paths = write(tmp_path, FILES)
    assert list(word_alignment.read_aligned(*paths)) == SENTENCES
    assert list(word_alignment.read_aligned(*map(str, paths))) == SENTENCES


def test_reads_windows_line_ends_tabs_doubled_spaces_and_gzip(tmp_path):
    odd = {
        "en": "\ufeff" + ENGLISH.replace("\n", "\r\n"),
        "hi.gz": gzip.compress(HINDI.replace(" ", "  ").encode()),
        "align": LINKS.replace(" ", "\t").rstrip("\n"),
    }
    assert list(word_alignment.read_aligned(*write(tmp_path, odd))) == SENTENCES


def test_a_word_may_hold_a_no_break_space(tmp_path):
    files = {"en": "New\xa0York here\n", "hi": "न्यूयॉर्क यहाँ\n", "align": "0-0 1-1\n"}
    paths = write(tmp_path, files)
    [(source, _, _)] = word_alignment.read_aligned(*paths)
    assert source == ["New\xa0York", "here"]


def test_reads_a_bitext(tmp_path):
    sides = zip(ENGLISH.splitlines(), HINDI.splitlines(), strict=True)
    bitext = "".join(f"{source} ||| {target}\n" for source, target in sides)
    paths = write(tmp_path, {"en-hi.bitext": bitext, "en-hi.align": LINKS})
    assert list(word_alignment.read_aligned_bitext(*paths)) == SENTENCES


# The file that changes, its content, where the error lies, what it says.
BROKEN = {
    "a text ends": ("en-hi.hi", "मैं पानी पीता हूँ\n", "en-hi.hi:2", "ends before this line"),
    "the alignment ends": ("en-hi.align", "0-0\n\n", "en-hi.align:3", "ends before this line"),
    "a text is longer": ("en-hi.en", ENGLISH + "a\n", "en-hi.hi:5", "ends before this line"),
    "past the source": ("en-hi.align", "3-0\n\n\n\n", "en-hi.align:1", "past the source's 3 words"),
    "past the target": ("en-hi.align", "\n1-2\n\n\n", "en-hi.align:2", "past the target's 2 words"),
    "past an empty line": ("en-hi.align", "\n\n0-0\n\n", "en-hi.align:3", "past the source's 0"),
    "a possible link": ("en-hi.align", "0-0 1p1\n\n\n\n", "en-hi.align:1", "'1p1' is no link"),
    "a lone number": ("en-hi.align", "\n0\n\n\n", "en-hi.align:2", "'0' is no link"),
    "below zero": ("en-hi.align", "0--1\n\n\n\n", "en-hi.align:1", "'0--1' is no link"),
    "other digits": ("en-hi.align", "०-०\n\n\n\n", "en-hi.align:1", "'०-०' is no link"),
    "endless digits": ("en-hi.align", f"{'9' * 5000}-0\n\n\n\n", "en-hi.align:1", "is no link"),
    "not UTF-8": ("en-hi.en", b"I drink water\n\xff\n\n\n", "en-hi.en:2", "not UTF-8"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_errors_name_file_and_line(tmp_path, case):
    name, content, where, what = BROKEN[case]
    paths = write(tmp_path, {**FILES, name: content})
    message = source_files.message_of(word_alignment.read_aligned, *paths)
    assert message.startswith(f"{tmp_path / where}: ") and what in message


def test_missing_file(tmp_path):
    paths = write(tmp_path, FILES)
    paths[1].unlink()
    with pytest.raises(InputError, match="en-hi.hi: no such file"):
        list(word_alignment.read_aligned(*paths))


@pytest.mark.parametrize("line", ["a b", "a ||| b ||| c"])
def test_a_bitext_line_has_two_sides(tmp_path, line):
    paths = write(tmp_path, {"x.bitext": f"a ||| b\n{line}\n", "x.align": "0-0\n0-0\n"})
    with pytest.raises(InputError, match=r"x\.bitext:2: expected `source \|\|\| target`"):
        list(word_alignment.read_aligned_bitext(*paths))


@given(st.lists(st.sampled_from([b"0-0", b"1-0", b" ", b"\n", b"a", b"\xff", b"-", b"0"])))
def test_any_alignment_gives_sentences_or_an_input_error(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("links")
    paths = write(folder, {"en": "a b\nc\n", "hi": "क\nख\n", "align": b"".join(parts)})
    try:
        sentences = list(word_alignment.read_aligned(*paths))
    except InputError as error:
        assert str(error).startswith(f"{folder}") and "\n" not in str(error)
    else:
        assert [(source, target) for source, target, _ in sentences] == [
            (["a", "b"], ["क"]),
            (["c"], ["ख"]),
        ]


def naive_phrases(source, target, links, max_length):
    """Every pair of runs that translate each other, found by trying all."""
    runs = [
        [range(a, b + 1) for a in range(len(words)) for b in range(a, len(words))]
        for words in (source, target)
    ]
    for left, right in itertools.product(*runs):
        inside = [(i, j) for i, j in links if i in left and j in right]
        crossing = [(i, j) for i, j in links if (i in left) != (j in right)]
        tight = {left[0], left[-1]} <= {i for i, _ in inside} and {right[0], right[-1]} <= {
            j for _, j in inside
        }
        if inside and not crossing and tight and len(left) <= max_length:
            yield " ".join(source[i] for i in left), " ".join(target[j] for j in right)


@st.composite
def sentence_pairs(draw):
    m, n = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    source, target = [f"s{i}" for i in range(m)], [f"t{j}" for j in range(n)]
    all_links = list(itertools.product(range(m), range(n)))
    links = draw(st.lists(st.sampled_from(all_links), max_size=8)) if all_links else []
    return source, target, links


@given(sentence_pairs(), st.integers(1, 7))
def test_phrases_are_the_consistent_ones(sentence, max_length):
    phrases = list(word_alignment.extract_phrases(*sentence, max_length))
    assert phrases == list(naive_phrases(*sentence, max_length))


PAIRS = [("tea", "ti"), ("Tea", "cha"), ("tea", "cha"), ("tea", "TE"), ("tea", "ti")]
TEA = [([source], [target], [(0, 0)]) for source, target in PAIRS]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["tea ti", "tea ti", "tea cha", "tea TE", "Tea cha"]),
        ({"lower_case": True}, ["tea ti", "tea ti", "tea cha", "tea cha", "tea TE"]),
        ({"min_count": 2}, ["tea ti", "tea ti"]),
        ({"top_k": 1}, ["tea ti", "tea ti", "Tea cha"]),
        ({"top_k": 2}, ["tea ti", "tea ti", "tea cha", "Tea cha"]),
        ({"lower_case": True, "min_count": 2, "top_k": 1}, ["tea ti", "tea ti"]),
    ],
)
def test_pairs_repeat_as_often_as_they_occur(options, expected):
    pairs = word_alignment.alignment_pairs(TEA, **options)
    assert [" ".join(pair) for pair in pairs] == expected


@given(st.lists(sentence_pairs(), max_size=4), st.integers(1, 3))
def test_pairs_are_those_of_all_sentences(sentences, max_length):
    pairs = word_alignment.alignment_pairs(sentences, max_length=max_length)
    assert collections.Counter(pairs) == collections.Counter(
        phrase
        for sentence in sentences
        for phrase in word_alignment.extract_phrases(*sentence, max_length)
    )


@pytest.mark.parametrize("option", ["max_length", "min_count", "top_k"])
def test_limits_below_one_are_refused(option):
    with pytest.raises(InputError, match=f"{option} .* is 0"):
        list(word_alignment.alignment_pairs(TEA, **{option: 0}))


def test_loads_from_the_folder_that_gin_names(bind, tmp_path):
    write(tmp_path, FILES)
    bind("word_alignment.load_alignment_pairs.directory", str(tmp_path))
    bind("word_alignment.load_alignment_pairs.lower_case", True)
    pairs = list(word_alignment.load_alignment_pairs("en", "hi"))
    assert pairs.count(("tea", "चाय")) == 2
    assert ("green tea", "हरी चाय") in pairs


def test_the_other_direction_serves_with_its_links_swapped(bind, tmp_path):
    write(tmp_path, FILES)
    bind("word_alignment.load_alignment_pairs.directory", str(tmp_path))
    bind("word_alignment.load_alignment_pairs.max_length", 2)
    pairs = list(word_alignment.load_alignment_pairs("hi", "en"))
    assert ("पीता हूँ", "drink") in pairs
    assert pairs.count(("चाय", "tea")) == pairs.count(("चाय", "Tea")) == 1


@pytest.mark.parametrize("languages", [("en", "hi"), ("hi", "en")])
def test_a_folder_may_hold_a_bitext(tmp_path, languages):
    write(tmp_path, {"en-hi.bitext": "tea ||| चाय\n", "en-hi.align": "0-0\n"})
    pairs = word_alignment.load_alignment_pairs(*languages, tmp_path)
    words = {"en": "tea", "hi": "चाय"}
    assert list(pairs) == [tuple(words[language] for language in languages)]


@pytest.mark.parametrize("names", [[], ["en-hi.align"], ["en-hi.en", "en-hi.hi"]])
def test_missing_files_are_named_with_the_remedy(tmp_path, names):
    write(tmp_path, {name: FILES[name] for name in names})
    with pytest.raises(InputError) as caught:
        word_alignment.load_alignment_pairs("en", "hi", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'en-hi.align'}: no word-aligned text there")
    for name in FILES:
        assert name in str(caught.value)
