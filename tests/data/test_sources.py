import gzip
import itertools
import json

import pytest
from source_files import ALPACA, ANSWERED, jsonl, message_of, squad, write

from commit_t5x.data import sources
from commit_t5x.errors import InputError

# The samples and local files.


def test_samples(locate):
    locate(alpaca="samples", wikipedia="samples", xquad="samples")
    alpaca = list(sources.alpaca_examples("train"))
    assert len(alpaca) > 100
    assert all(set(example) == {"instruction", "input", "output"} for example in alpaca)
    for language in ("hi", "el", "th"):
        documents = list(sources.wikipedia_examples(language, "train"))
        assert len(documents) > 20 and all(d["text"].strip() for d in documents)
    for language in ("hi", "el", "th", "en"):
        questions = list(sources.xquad_examples(language, "validation"))
        assert len(questions) > 20
        for question in questions:
            assert question["answers"]
            assert all(answer in question["context"] for answer in question["answers"])


@pytest.mark.parametrize("place", ["mine.jsonl", "alpaca.jsonl"])
def test_alpaca_from_a_file_or_a_folder(locate, tmp_path, place):
    path = write(tmp_path / place, jsonl(ALPACA))
    locate(alpaca=tmp_path if place == "alpaca.jsonl" else path)
    assert list(sources.alpaca_examples("train")) == ALPACA


def test_alpaca_without_input_and_with_other_fields(locate, tmp_path):
    record = {"instruction": "a", "output": "b", "text": "filled template", "id": 3}
    locate(alpaca=write(tmp_path / "x.json", json.dumps([record, {**record, "input": None}])))
    assert list(sources.alpaca_examples("train")) == 2 * [
        {"instruction": "a", "input": "", "output": "b"}
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"input": "", "output": "b"}, "expected text in 'instruction', no such field"),
        ({"instruction": "a", "input": ""}, "expected text in 'output', no such field"),
        ({"instruction": "a", "output": None}, "expected text in 'output', found null"),
        ({"instruction": ["a"], "output": "b"}, "expected text in 'instruction', found list"),
        ({"instruction": "a", "input": 3, "output": "b"}, "expected text in 'input', found int"),
    ],
)
def test_a_record_without_its_fields_is_named(locate, tmp_path, record, message):
    path = write(tmp_path / "x.jsonl", "\n" + jsonl([ALPACA[0], record]))
    locate(alpaca=path)
    assert message_of(sources.alpaca_examples, "train").startswith(f"{path}:3: {message}")
    path = write(tmp_path / "x.json", json.dumps([ALPACA[0], record]))
    locate(alpaca=path)
    assert message_of(sources.alpaca_examples, "train").startswith(f"{path}: record 2: {message}")


@pytest.mark.parametrize(
    ("file", "location"),
    [
        ("wikipedia.hi.txt", "."),
        ("hi.txt", "."),
        ("texts/hi/all.txt", "texts/{lang}/all.txt"),
        ("hi/wikipedia.hi.txt", "{lang}"),
    ],
)
def test_wikipedia_layouts(locate, tmp_path, file, location):
    write(tmp_path / file, "पहला\nलेख\n\nदूसरा\n")
    locate(wikipedia=tmp_path / location)
    documents = [{"text": "पहला\nलेख"}, {"text": "दूसरा"}]
    assert list(sources.wikipedia_examples("hi", "train")) == documents


def test_wikipedia_from_records(locate, tmp_path):
    articles = [{"title": "t", "text": "पहला"}, {"title": "u", "text": "दूसरा"}]
    write(tmp_path / "hi.jsonl", jsonl(articles))
    locate(wikipedia=tmp_path / "{lang}.jsonl")
    assert list(sources.wikipedia_examples("hi", "train")) == [
        *({"text": "पहला"}, {"text": "दूसरा"}),
    ]


# Many files.


@pytest.fixture
def shards(tmp_path):
    """Three shards of Hindi documents, and what must not be taken for one."""
    write(tmp_path / "wiki" / "b.jsonl", jsonl({"text": text} for text in ("3", "4", "5")))
    write(tmp_path / "wiki" / "a.txt", "1\n\n2\n")
    write(tmp_path / "wiki" / "c.jsonl.gz", gzip.compress(jsonl([{"text": "6"}]).encode()))
    for name in ("el.txt", "wikipedia.el.txt", "README.md", "._a.txt", "_SUCCESS"):
        write(tmp_path / "wiki" / name, "not Hindi")
    return tmp_path / "wiki"


@pytest.mark.parametrize("location", ["wiki", "wiki/", "wiki/[abc].*", "{lang}/../wiki/?.*"])
def test_shards_are_read_in_the_order_of_their_names(locate, tmp_path, shards, location):
    (tmp_path / "hi").mkdir()
    locate(wikipedia=f"{tmp_path}/{location}")
    examples = sources.wikipedia_examples("hi", "train")
    assert [example["text"] for example in examples] == list("123456")
    assert [shard.name.rpartition("/")[2] for shard in examples.shards] == [
        *("a.txt", "b.jsonl", "c.jsonl.gz"),
    ]
    # An index says the file and the place in it.
    first, second = 2**32, 2 * 2**32
    assert [index for index, _ in examples.indexed()] == [
        *(0, 1, first, first + 1, first + 2, second)
    ]
    assert list(examples.indexed(1)) == list(examples.indexed())[2:5]


def test_a_language_does_not_read_anothers_file(locate, tmp_path, shards):
    locate(wikipedia=shards)
    (shards / "el.txt").unlink()
    assert [e["text"] for e in sources.wikipedia_examples("el", "train")] == ["not Hindi"]
    for name in ("a.txt", "b.jsonl", "c.jsonl.gz"):
        (shards / name).unlink()
    message = message_of(sources.wikipedia_examples, "hi", "train")
    assert message.startswith(f"{shards}/wikipedia.hi.txt: no such file; ")


def test_alpaca_from_shards(locate, tmp_path):
    for number, example in enumerate(ALPACA):
        write(tmp_path / f"part-{number}.jsonl", jsonl([example]))
    locate(alpaca=tmp_path)
    assert list(sources.alpaca_examples("train")) == ALPACA


@pytest.mark.parametrize("location", [".", "xquad.hi.json"])
def test_xquad_from_a_folder_or_a_file(locate, tmp_path, location):
    write(tmp_path / "xquad.hi.json", squad(ANSWERED))
    locate(xquad=tmp_path / location)
    assert list(sources.xquad_examples("hi", "validation")) == [ANSWERED]


@pytest.mark.parametrize("layout", ["{stem}-{name}", "{stem}/{stem}-{name}"])
def test_mlqa_layouts(locate, tmp_path, layout):
    name = "context-hi-question-hi.json"
    for stem in ("test", "dev"):
        question = {**ANSWERED, "id": stem}
        write(tmp_path / layout.format(stem=stem, name=name), squad(question))
    locate(mlqa=tmp_path)
    assert [q["id"] for q in sources.mlqa_examples("hi", "test")] == ["test"]
    assert [q["id"] for q in sources.mlqa_examples("hi", "validation")] == ["dev"]


def test_a_folder_without_the_file_is_told_which_one(locate, tmp_path):
    locate(alpaca=tmp_path, wikipedia=tmp_path, xquad=tmp_path, mlqa=tmp_path)
    for name, macro, examples, *args in [
        ("alpaca.jsonl", "ALPACA_PATH", sources.alpaca_examples, "train"),
        ("wikipedia.hi.txt", "WIKIPEDIA_PATH", sources.wikipedia_examples, "hi", "train"),
        ("xquad.hi.json", "XQUAD_PATH", sources.xquad_examples, "hi", "validation"),
        ("test-context-hi-question-hi.json", "MLQA_PATH", sources.mlqa_examples, "hi", "test"),
    ]:
        expected = f"{tmp_path / name}: no such file; put it there or set {macro}"
        assert message_of(examples, *args) == expected


def test_a_path_may_begin_with_the_home_folder(locate, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "mine.jsonl", jsonl(ALPACA))
    locate(alpaca="~/mine.jsonl")
    assert list(sources.alpaca_examples("train")) == ALPACA


@pytest.mark.parametrize("held_out", [0, 1, 2, 3, 4, 6, 7, 9])
@pytest.mark.parametrize("ends", [[7], [3, 4, 7]])
def test_validation_examples_are_the_last_ones_of_all_shards(locate, tmp_path, held_out, ends):
    texts, whole = list("abcdefg"), {}
    for number, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        part = texts[start:end]
        write(tmp_path / f"{number}.txt", "\n\n".join(part))
        write(tmp_path / f"{number}.jsonl", jsonl({"instruction": t, "output": t} for t in part))
        whole |= {number * 2**32 + place: text for place, text in enumerate(part)}
    locate(wikipedia=tmp_path / "?.txt", alpaca=tmp_path / "?.jsonl", validation_examples=held_out)
    boundary = max(0, len(texts) - held_out)
    for split, part in [("train", slice(boundary)), ("validation", slice(boundary, None))]:
        examples = sources.wikipedia_examples("hi", split)
        found = [(index, example["text"]) for index, example in examples.indexed()]
        assert found == list(whole.items())[part]
        by_shard = [list(examples.indexed(n)) for n in range(len(examples.shards))]
        assert sum(by_shard, []) == list(examples.indexed())
        assert [e["output"] for e in sources.alpaca_examples(split)] == texts[part]
    assert sources.training_splits() == (("train", "validation") if held_out else ("train",))


# Broken records.

BROKEN_LINES = [
    "\udcff",  # the byte FF
    "broken",
    "[]",
    "{}",
    '{"instruction": 3, "output": "b"}',
    '{"output": "b"}',
    '{"instruction": "\\ud800", "output": "b"}',
]


def test_broken_records_are_skipped_and_counted(locate, tmp_path, caplog):
    lines = [json.dumps(example) for example in ALPACA]
    lines[1:1] = BROKEN_LINES
    content = "\n".join(lines).encode("utf-8", "surrogateescape")
    path = write(tmp_path / "x.jsonl", content)
    locate(alpaca=path, broken_records="skip")
    examples = sources.alpaca_examples("train")
    for _ in range(2):  # each pass counts anew
        caplog.clear()
        # An index counts the broken ones, too: mending them changes no other example's mix.
        assert list(examples.indexed()) == list(zip([0, 8, 9], ALPACA, strict=True))
        messages = [record.getMessage() for record in caplog.records]
        assert messages[0].startswith(f"Skipped: {path}:2: not UTF-8")
        assert messages[1].startswith(f"Skipped: {path}:3: not JSON")
        assert len(messages) == 6 and messages[-1] == f"Skipped 7 broken records of {path}"


def test_half_a_character_is_no_text(locate, tmp_path):
    path = write(tmp_path / "x.jsonl", '{"text": "a \\ud83d b"}\n{"text": "\\ud83d\\ude00"}\n')
    locate(wikipedia=path)
    message = message_of(sources.wikipedia_examples, "hi", "train")
    assert message.startswith(f"{path}:1: 'text' holds '\\ud83d', which is no character")
    locate(broken_records="skip")
    assert list(sources.wikipedia_examples("hi", "train")) == [{"text": "😀"}]


def test_broken_records_of_several_shards_are_counted_together(locate, tmp_path, caplog):
    for name in "abc":
        write(tmp_path / f"{name}.jsonl", jsonl([{"text": name}, {}, {"text": name}]))
    locate(wikipedia=tmp_path / "?.jsonl", broken_records="skip")
    examples = sources.wikipedia_examples("hi", "train")
    assert [example["text"] for example in examples] == list("aabbcc")
    assert caplog.messages[-1] == f"Skipped 3 broken records of {tmp_path}/a.jsonl and 2 more"
    list(examples.indexed(1))
    assert caplog.messages[-1] == f"Skipped 1 broken records of {tmp_path}/b.jsonl"


def test_held_out_records_are_the_same_with_and_without_broken_ones(locate, tmp_path):
    def held_out(line):
        good = [json.dumps({"text": str(number)}) for number in range(6)]
        path = write(tmp_path / "x.jsonl", "\n".join([*good[:4], line, *good[4:]]))
        locate(wikipedia=path, validation_examples=4, broken_records="skip")
        return [e["text"] for e in sources.wikipedia_examples("hi", "train")]

    assert held_out("broken") == held_out('{"text": "mended"}') == ["0", "1", "2"]


def test_a_damaged_file_stops_whatever_the_policy(locate, tmp_path):
    packed = gzip.compress(jsonl([{"text": "a" * 50}] * 100).encode())
    locate(wikipedia=write(tmp_path / "x.jsonl.gz", packed[:-9]), broken_records="skip")
    assert "broken compressed file" in message_of(sources.wikipedia_examples, "hi", "train")


def test_an_unknown_policy_is_refused(locate):
    locate(broken_records="ignore")
    with pytest.raises(
        InputError, match="^broken_records: 'ignore' doesn't fit; it takes one of 'stop'"
    ):
        sources.alpaca_examples("train")


# Files in SQuAD's format.


def test_squad_examples(tmp_path):
    other = {**ANSWERED, "id": "8", "answers": []}
    path = write(tmp_path / "x.json", squad(ANSWERED, other))
    assert list(sources.squad_examples(path)) == [ANSWERED, other]
    document = squad(ANSWERED)
    document["data"][0]["paragraphs"][0]["qas"][0]["id"] = 7  # as some files have it
    assert list(sources.squad_examples(str(write(path, document)))) == [ANSWERED]


def without(key):
    """Returns a SQuAD document from which a key is missing, wherever it stands."""

    def pruned(node):
        if isinstance(node, list):
            return [pruned(child) for child in node]
        if isinstance(node, dict):
            return {name: pruned(child) for name, child in node.items() if name != key}
        return node

    return pruned(squad(ANSWERED))


@pytest.mark.parametrize(
    "key", ["data", "paragraphs", "context", "qas", "id", "question", "answers", "text"]
)
def test_squad_files_without_a_key(tmp_path, key):
    path = write(tmp_path / "x.json", without(key))
    message = message_of(sources.squad_examples, path)
    assert message == f"{path}: no key '{key}' where SQuAD v1.1 has one; mend it"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{\n"data": [}', ":2: not JSON"),
        ("[]", ": not in SQuAD v1.1's JSON format"),
        ("3", ": not in SQuAD v1.1's JSON format"),
        ('{"data": 3}', ": not in SQuAD v1.1's JSON format"),
        ('{"data": ["text"]}', ": not in SQuAD v1.1's JSON format"),
        (json.dumps(squad({**ANSWERED, "context": 3})), ": question 7: expected text in 'context'"),
        (json.dumps(squad({**ANSWERED, "answers": [3]})), ": question 7: expected text in 'answ"),
    ],
)
def test_files_that_are_not_squads(tmp_path, content, message):
    path = write(tmp_path / "x.json", content)
    assert message_of(sources.squad_examples, path).startswith(f"{path}{message}")


def test_an_answer_that_is_no_span_of_its_context(tmp_path):
    path = write(tmp_path / "x.json", squad({**ANSWERED, "answers": ["दिल्ली", "मुंबई"]}))
    message = message_of(sources.squad_examples, path)
    assert message.startswith(f"{path}: question 7: the answer 'मुंबई' doesn't occur in the context")
