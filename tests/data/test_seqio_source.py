import functools
import itertools

import pytest
import seqio
import tensorflow as tf
from source_files import ANSWERED, jsonl, squad, write

from commit_t5x.data import sources
from commit_t5x.data.records import Item, Shard
from commit_t5x.data.seqio_source import ExampleSource, Task
from commit_t5x.errors import InputError

WIKIPEDIA = ExampleSource(
    functools.partial(sources.wikipedia_examples, "hi"), {"text": ()}, sources.training_splits
)
QUESTIONS = ExampleSource(
    functools.partial(sources.xquad_examples, "hi"),
    {"question": (), "answers": (None,)},
    lambda: ("validation",),
)


@pytest.fixture
def task():
    passing = seqio.Feature(seqio.PassThroughVocabulary(1), add_eos=False, dtype=tf.string, rank=0)
    features = {"text": passing}
    name = "a_task_of_these_tests"
    yield seqio.TaskRegistry.add(name, WIKIPEDIA, features, task_cls=Task)
    seqio.TaskRegistry.remove(name)


@pytest.fixture
def files(locate, tmp_path):
    """Locates three files with 150, 1 and 5 documents."""
    numbers = iter(range(1000))
    for name, count in [("a", 150), ("b", 1), ("c", 5)]:
        documents = [{"text": f"पाठ {number}"} for number in itertools.islice(numbers, count)]
        write(tmp_path / f"{name}.jsonl", jsonl(documents))
    locate(wikipedia=tmp_path / "*.jsonl")
    return tmp_path


def read(ds):
    return [(int(e["index"]), e["text"].decode()) for e in ds.as_numpy_iterator()]


EXPECTED = [
    (shard * 2**32 + place, f"पाठ {number}")
    for number, (shard, place) in enumerate(
        [*((0, place) for place in range(150)), (1, 0), *((2, place) for place in range(5))]
    )
]


def test_every_pass_gives_the_examples_in_order(files):
    ds = WIKIPEDIA.get_dataset("train", shuffle=True, seed=3)
    assert ds.element_spec == {
        "index": tf.TensorSpec((), tf.int64),
        "text": tf.TensorSpec((), tf.string),
    }
    assert read(ds) == read(ds) == EXPECTED
    assert read(ds.repeat(2)) == EXPECTED * 2
    assert WIKIPEDIA.num_input_examples("train") is None


def test_lists_of_any_length(locate, tmp_path):
    questions = [
        {
            **ANSWERED,
            **{"id": str(n), "question": f"{n}\0", "context": "उत्तर\0"},
            "answers": ["उत्तर\0", "उ"][:n],
        }
        for n in range(3)
    ]
    locate(xquad=write(tmp_path / "x.json", squad(*questions)))
    ds = QUESTIONS.get_dataset("validation")
    assert ds.element_spec["answers"] == tf.TensorSpec((None,), tf.string)
    rows = list(ds.as_numpy_iterator())
    assert [row["question"].decode() for row in rows] == ["0\0", "1\0", "2\0"]
    assert [[a.decode() for a in row["answers"]] for row in rows] == [
        question["answers"] for question in questions
    ]


def test_large_examples_and_no_examples(locate, tmp_path):
    long = "पानी " * 300_000
    locate(wikipedia=write(tmp_path / "x.jsonl", jsonl([{"text": long}, {"text": ""}])))
    assert read(WIKIPEDIA.get_dataset("train")) == [(0, long), (1, "")]
    write(tmp_path / "x.jsonl", "")
    assert read(WIKIPEDIA.get_dataset("train")) == []


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shards_of_a_task_hold_every_nth_example(files, task, count):
    # Three is the number of files, too.
    shards = [
        read(task.get_dataset(shuffle=False, shard_info=seqio.ShardInfo(index, count)))
        for index in range(count)
    ]
    assert shards == [EXPECTED[index::count] for index in range(count)]


@pytest.mark.parametrize("count", [2, 8])
def test_shards_of_a_mixture_hold_every_nth_example_of_each_task(files, task, count):
    mixture = seqio.Mixture("of_one", [task], default_rate=1)
    ds = mixture.get_dataset(shuffle=False, num_epochs=1, shard_info=seqio.ShardInfo(1, count))
    texts = [row["text"].decode() for row in ds.as_numpy_iterator()]
    assert texts == [text for _, text in EXPECTED[1::count]]


def test_beam_gets_a_file_a_shard(files):
    names = WIKIPEDIA.list_shards("train")
    assert names == [str(files / f"{name}.jsonl") for name in "abc"]
    shards = [
        read(WIKIPEDIA.get_dataset("train", shard_info=seqio.ShardInfo(index, len(names))))
        for index in range(len(names))
    ]
    assert shards == [EXPECTED[:150], EXPECTED[150:151], EXPECTED[151:]]


def test_splits_are_those_that_are_configured(files, locate):
    assert WIKIPEDIA.splits == ("train",)
    with pytest.raises(InputError, match="split 'validation': the data has train only"):
        WIKIPEDIA.get_dataset("validation")
    locate(validation_examples=4)
    assert WIKIPEDIA.splits == ("train", "validation")
    assert read(WIKIPEDIA.get_dataset("train")) == EXPECTED[:-4]
    assert read(WIKIPEDIA.get_dataset("validation")) == EXPECTED[-4:]


def test_a_missing_file_is_reported_where_the_dataset_is_built(locate, tmp_path):
    locate(wikipedia=tmp_path / "none.jsonl")
    with pytest.raises(InputError, match=r"none\.jsonl: no such file or folder"):
        WIKIPEDIA.get_dataset("train")


def test_a_broken_record_is_named_through_the_graph(files):
    with open(files / "b.jsonl", "a") as file:
        file.write('{"no": "text"}\n')
    with pytest.raises(tf.errors.OpError) as caught:
        read(WIKIPEDIA.get_dataset("train").batch(1000).unbatch())
    assert f"InputError: {files}/b.jsonl:2: expected text in 'text'" in str(caught.value)


def test_data_are_not_read_again_after_an_error():
    passes = []

    def broken():
        passes.append(len(passes))
        for place in range(300):
            yield place, Item(f"x:{place}", {"text": "a"})
        yield 300, Item("x:300", InputError("x:300: broken"))

    examples = sources.Examples([Shard("x", broken)], lambda _, record: record)
    source = ExampleSource(lambda split: examples, {"text": ()}, lambda: ("train",))
    ds = source.get_dataset("train").repeat().batch(64)
    for _ in range(3):
        with pytest.raises(tf.errors.OpError, match="InputError: x:300: broken"):
            for _ in ds:
                pass
    assert len(passes) == 2  # the first looked at the first example only


def test_what_is_not_cached_is_named(files, task):
    with pytest.raises(InputError, match="a_task_of_these_tests: not cached in"):
        task.assert_cached()


def test_examples_are_read_as_they_are_needed():
    read_so_far = []

    def endless():
        for place in itertools.count():
            read_so_far.append(place)
            yield place, Item("x:1", {"text": str(place)})

    examples = sources.Examples([Shard("x", endless)], lambda _, record: record)
    source = ExampleSource(lambda split: examples, {"text": ()}, lambda: ("train",))
    assert read(source.get_dataset("train").take(3)) == [(0, "0"), (1, "1"), (2, "2")]
    assert len(read_so_far) < 1000
