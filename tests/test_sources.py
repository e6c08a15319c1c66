import json

import pytest
import tensorflow as tf
from source_files import ALPACA, ANSWERED, jsonl, message_of, squad, write

from commit_t5x import resources, sources
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


def test_samples_that_do_not_exist_are_named_with_the_macro(locate):
    locate(wikipedia="samples", xquad="samples", mlqa="samples")
    message = message_of(sources.wikipedia_examples, "xx", "train")
    assert message.startswith("WIKIPEDIA_PATH: the samples hold no wikipedia.xx.txt; ")
    message = message_of(sources.xquad_examples, "xx", "validation")
    assert message.startswith("XQUAD_PATH: the samples hold no xquad.xx.json; ")
    message = message_of(sources.mlqa_examples, "hi", "test")
    assert message.startswith("MLQA_PATH: the samples hold no test-context-hi-question-hi.json; ")


@pytest.mark.parametrize("place", ["mine.jsonl", "alpaca.jsonl"])
def test_alpaca_from_a_file_or_a_folder(locate, tmp_path, place):
    path = write(tmp_path / place, jsonl(ALPACA))
    locate(alpaca=tmp_path if place == "alpaca.jsonl" else path)
    assert list(sources.alpaca_examples("train")) == ALPACA


def test_alpaca_without_input_and_with_other_fields(locate, tmp_path):
    record = {"instruction": "a", "output": "b", "text": "filled template", "id": 3}
    locate(alpaca=write(tmp_path / "x.json", json.dumps([record])))
    assert list(sources.alpaca_examples("train")) == [
        {"instruction": "a", "input": "", "output": "b"}
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"input": "", "output": "b"}, "expected text in 'instruction', no such field"),
        ({"instruction": "a", "input": ""}, "expected text in 'output', no such field"),
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
    path = write(tmp_path / "hi.jsonl", jsonl(articles))
    locate(wikipedia=tmp_path / "{lang}.jsonl")
    assert list(sources.wikipedia_examples("hi", "train")) == [
        *({"text": "पहला"}, {"text": "दूसरा"}),
    ]
    write(path, jsonl([{"title": "t"}]))
    message = message_of(sources.wikipedia_examples, "hi", "train")
    assert message.startswith(f"{path}:1: expected text in 'text', no such field")


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


@pytest.mark.parametrize(
    "location", ["./none", "../none", "/none/at/all", "~/none", "none.jsonl", "a/b.txt", "a/b/c"]
)
def test_what_looks_like_a_path_is_not_looked_for_on_the_hub(locate, location):
    locate(alpaca=location, wikipedia=location, xquad=location, mlqa=location)
    for macro, examples, *args in [
        ("ALPACA_PATH", sources.alpaca_examples, "train"),
        ("WIKIPEDIA_PATH", sources.wikipedia_examples, "hi", "train"),
        ("XQUAD_PATH", sources.xquad_examples, "hi", "validation"),
        ("MLQA_PATH", sources.mlqa_examples, "hi", "test"),
    ]:
        expected = f"{location}: no such file or folder; set {macro} to where the data lies"
        assert message_of(examples, *args) == expected


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


@pytest.mark.parametrize("held_out", [0, 1, 2, 3, 7, 8, 20])
def test_validation_examples_are_the_last_ones(locate, tmp_path, held_out):
    texts = [f"document {number}" for number in range(8)]
    locate(
        wikipedia=write(tmp_path / "hi.txt", "\n\n".join(texts)),
        alpaca=write(
            tmp_path / "alpaca.jsonl", jsonl({"instruction": t, "output": t} for t in texts)
        ),
        validation_examples=held_out,
    )
    boundary = max(0, len(texts) - held_out)
    for split, expected in [("train", texts[:boundary]), ("validation", texts[boundary:])]:
        documents = sources.wikipedia_examples("hi", split)
        assert [document["text"] for document in documents] == expected
        assert [e["output"] for e in sources.alpaca_examples(split)] == expected


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
        ("", ":1: not JSON"),
        ("[]", ": not in SQuAD v1.1's JSON format"),
        ("3", ": not in SQuAD v1.1's JSON format"),
        ('{"data": 3}', ": not in SQuAD v1.1's JSON format"),
        ('{"data": ["text"]}', ": not in SQuAD v1.1's JSON format"),
        (b'{"data": "\xff"}', ": not UTF-8"),
    ],
)
def test_files_that_are_not_squads(tmp_path, content, message):
    path = write(tmp_path / "x.json", content)
    assert message_of(sources.squad_examples, path).startswith(f"{path}{message}")


def test_a_missing_squad_file(tmp_path):
    path = tmp_path / "x.json"
    assert message_of(sources.squad_examples, path).startswith(f"{path}: no such file; ")


# What SeqIO reads.


def test_a_dataset_counts_its_examples_in_order():
    examples = [{"text": f"पाठ {n}", "answers": ["x"] * n, "other": 3} for n in range(5)]
    ds = sources.dataset(lambda: examples, {"text": (), "answers": (None,)})
    assert ds.element_spec == {
        "index": tf.TensorSpec((), tf.int64),
        "text": tf.TensorSpec((), tf.string),
        "answers": tf.TensorSpec((None,), tf.string),
    }
    for _ in range(2):  # each pass begins anew
        rows = list(ds.as_numpy_iterator())
        assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
        assert [row["text"].decode() for row in rows] == [e["text"] for e in examples]
        assert [len(row["answers"]) for row in rows] == [0, 1, 2, 3, 4]


def test_a_dataset_of_nothing_is_empty():
    assert list(sources.dataset(lambda: iter(()), {"text": ()})) == []


def test_a_missing_file_is_reported_where_the_dataset_is_built(locate, tmp_path):
    locate(alpaca=tmp_path / "none.jsonl")
    with pytest.raises(InputError, match=r"none\.jsonl: no such file or folder"):
        sources.dataset(lambda: sources.alpaca_examples("train"), {"output": ()})


def test_a_broken_record_is_named_through_the_graph(locate, tmp_path):
    path = write(tmp_path / "x.jsonl", jsonl([ALPACA[0], {"output": "b"}]))
    locate(alpaca=path)
    ds = sources.dataset(lambda: sources.alpaca_examples("train"), {"output": ()})
    with pytest.raises(tf.errors.OpError) as caught:
        list(ds)
    assert f"InputError: {path}:2: expected text in 'instruction'" in str(caught.value)


def test_shipped_question_files_are_what_the_samples_give(locate):
    locate(xquad="samples")
    path = resources.path("samples") / "xquad.th.json"
    examples = list(sources.xquad_examples("th", "validation"))
    assert examples == list(sources.squad_examples(path))
