import io
import itertools
import time

import hub_stand_in
import huggingface_hub
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from source_files import ALPACA, ANSWERED, jsonl, message_of

from commit_t5x.data import sources

# The Hugging Face hub.


def card(*configurations):
    """Returns a data set's README.md, from (configuration, split, file)."""
    lines = ["---", "configs:"]
    for name, group in itertools.groupby(configurations, key=lambda c: c[0]):
        lines += [f"- config_name: {name}", "  data_files:"]
        for _, split, file in group:
            lines += [f"  - split: {split}", f"    path: {file}"]
    return "\n".join([*lines, "---", ""]).encode()


def parquet(*records):
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), file)
    return file.getvalue()


ON_HUB = {
    **{k: ANSWERED[k] for k in ("id", "context", "question")},
    "answers": {"text": ANSWERED["answers"], "answer_start": [0, 0]},
}
REPOSITORIES = {
    "tatsu-lab/alpaca": {
        "README.md": card(("default", "train", "train.jsonl")),
        "train.jsonl": jsonl(ALPACA).encode(),
    },
    "graelo/wikipedia": {
        "README.md": card(
            ("20230601.hi", "train", "hi.jsonl"),
            ("20230601.el", "train", "el.jsonl"),
            ("20230901.hi", "train", "later.jsonl"),
        ),
        "hi.jsonl": jsonl([{"id": "1", "text": "पानी"}, {"id": "2", "text": "चाय"}]).encode(),
        "el.jsonl": jsonl([{"id": "1", "text": "νερό"}]).encode(),
        "later.jsonl": jsonl([{"id": "1", "text": "बाद में"}]).encode(),
    },
    "google/xquad": {
        "README.md": card(("xquad.hi", "validation", "hi.jsonl")),
        "hi.jsonl": jsonl([ON_HUB, {**ON_HUB, "id": "8"}]).encode(),
    },
    "facebook/mlqa": {
        "README.md": card(
            ("mlqa.hi.hi", "test", "test.jsonl"), ("mlqa.hi.hi", "validation", "dev.jsonl")
        ),
        "test.jsonl": jsonl([{**ON_HUB, "id": "test"}]).encode(),
        "dev.jsonl": jsonl([{**ON_HUB, "id": "dev"}]).encode(),
    },
    "me/incomplete": {
        "README.md": card(("default", "train", "train.jsonl")),
        "train.jsonl": jsonl([ALPACA[0], {"input": "", "output": "b"}]).encode(),
    },
    "me/broken": {
        "README.md": card(("default", "train", "train.jsonl")),
        "train.jsonl": b'{"instruction": "a"\n\xff',
    },
    "me/script": {"README.md": b"", "script.py": b"raise SystemExit('never run')\n"},
    "me/empty": {"README.md": b""},
    # As such data sets look today: a script, and the hub's conversion of what it gave.
    "me/wikipedia": {"README.md": b"", "wikipedia.py": b"raise SystemExit('never run')\n"},
    "me/wikipedia@refs/convert/parquet": {
        "20230601.hi/train/0000.parquet": parquet({"id": "1", "text": "पानी"}, {"text": "चाय"}),
        "20230601.hi/train/0001.parquet": parquet({"id": "3", "text": "घर"}),
        "20230601.el/train/0000.parquet": parquet({"id": "1", "text": "νερό"}),
    },
    "me/mlqa": {"README.md": b"", "mlqa.py": b"raise SystemExit('never run')\n"},
    "me/mlqa@refs/convert/parquet": {
        "mlqa.hi.hi/test/0000.parquet": parquet({**ON_HUB, "id": "test"}),
        "mlqa.hi.hi/validation/0000.parquet": parquet({**ON_HUB, "id": "dev"}),
    },
    "wikimedia/wikipedia": {
        "README.md": card(("20231101.hi", "train", "20231101.hi/train-*")),
        "20231101.hi/train-00000-of-00002.parquet": parquet({"id": "1", "text": "नया"}),
        "20231101.hi/train-00001-of-00002.parquet": parquet({"id": "2", "text": "और नया"}),
    },
}


@pytest.fixture(scope="module")
def hub_url():
    with hub_stand_in.serve(REPOSITORIES) as url:
        yield url


@pytest.fixture
def hub(bind, monkeypatch, tmp_path, hub_url):
    """A hub that answers, and an empty cache; returns `use`, which goes over to another hub."""

    def use(url):
        hub_stand_in.use(monkeypatch, url, tmp_path / "cache")

    use(hub_url)
    yield use
    huggingface_hub.HfFileSystem.clear_instance_cache()


def test_the_defaults_are_read_from_the_hub(hub):
    assert list(sources.alpaca_examples("train")) == ALPACA
    assert list(sources.wikipedia_examples("hi", "train")) == [{"text": "पानी"}, {"text": "चाय"}]
    assert list(sources.wikipedia_examples("el", "train")) == [{"text": "νερό"}]
    assert list(sources.xquad_examples("hi", "validation")) == [ANSWERED, {**ANSWERED, "id": "8"}]
    assert [q["id"] for q in sources.mlqa_examples("hi", "test")] == ["test"]
    assert [q["id"] for q in sources.mlqa_examples("hi", "validation")] == ["dev"]


def test_the_dump_and_the_validation_split_of_hub_data(hub, locate):
    locate(wikipedia_dump="20230901", validation_examples=1)
    assert list(sources.wikipedia_examples("hi", "train")) == []
    assert list(sources.wikipedia_examples("hi", "validation")) == [{"text": "बाद में"}]
    assert list(sources.alpaca_examples("train")) == ALPACA[:-1]


def test_todays_wikipedia_needs_its_name_only(hub, locate):
    locate(wikipedia="wikimedia/wikipedia")
    assert list(sources.wikipedia_examples("hi", "train")) == [{"text": "नया"}, {"text": "और नया"}]


def test_files_on_the_hub_by_their_url(hub, locate):
    locate(wikipedia="hf://datasets/wikimedia/wikipedia/20231101.{lang}/*.parquet")
    examples = sources.wikipedia_examples("hi", "train")
    assert [example["text"] for example in examples] == ["नया", "और नया"]
    assert len(examples.shards) == 2
    message = message_of(sources.wikipedia_examples, "xx", "train")
    assert message.startswith("hf://datasets/wikimedia/wikipedia/20231101.xx/*.parquet: no such ")
    hub(hub_stand_in.closed_address())
    message = message_of(sources.wikipedia_examples, "hi", "train")
    assert message.startswith("WIKIPEDIA_PATH: hf://datasets/wikimedia/wikipedia/20231101.hi/*.")


def test_a_script_is_read_from_the_hubs_conversion(hub, locate):
    locate(wikipedia="me/wikipedia", mlqa="me/mlqa")
    for _ in range(2):
        wikipedia = sources.wikipedia_examples("hi", "train")
        assert [example["text"] for example in wikipedia] == ["पानी", "चाय", "घर"]
        assert list(sources.wikipedia_examples("el", "train")) == [{"text": "νερό"}]
        assert [q["id"] for q in sources.mlqa_examples("hi", "test")] == ["test"]
        assert [q["id"] for q in sources.mlqa_examples("hi", "validation")] == ["dev"]
        hub(hub_stand_in.closed_address())  # the second time, all of it is in the cache
    names = [shard.name.rpartition("20230601.hi/")[2] for shard in wikipedia.shards]
    assert names == ["train/0000.parquet", "train/0001.parquet"]


def test_a_language_that_the_conversion_lacks(hub, locate):
    locate(wikipedia="me/wikipedia")
    message = message_of(lambda: sources.wikipedia_examples("xx", "train"))
    assert message.startswith("WIKIPEDIA_PATH: 'me/wikipedia' on the hub: Dataset scripts are no ")
    assert "refs/convert/parquet holds no 20230601.xx/train; set WIKIPEDIA_PATH" in message


def test_without_a_hub_the_error_names_macro_and_remedy(hub, locate):
    hub(hub_stand_in.closed_address())
    for macro, name, examples, *args in [
        ("ALPACA_PATH", "tatsu-lab/alpaca", sources.alpaca_examples, "train"),
        ("WIKIPEDIA_PATH", "graelo/wikipedia", sources.wikipedia_examples, "hi", "train"),
        ("XQUAD_PATH", "google/xquad", sources.xquad_examples, "hi", "validation"),
        ("MLQA_PATH", "facebook/mlqa", sources.mlqa_examples, "hi", "test"),
    ]:
        start = time.monotonic()
        message = message_of(examples, *args)
        assert time.monotonic() - start < 10
        assert message.startswith(f"{macro}: {name!r} cannot be had from the Hugging Face hub")
        assert f"set {macro} to the local file or folder" in message


def test_offline_mode_is_respected(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = message_of(sources.alpaca_examples, "train")
    assert message.startswith("ALPACA_PATH: 'tatsu-lab/alpaca' cannot be had")


def test_what_an_earlier_run_has_cached_needs_no_hub(hub):
    assert list(sources.alpaca_examples("train")) == ALPACA
    hub(hub_stand_in.closed_address())
    assert list(sources.alpaca_examples("train")) == ALPACA
    assert not huggingface_hub.constants.HF_HUB_OFFLINE  # and the next data set may be asked for


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("me/nothing", "ALPACA_PATH: the hub has no data set 'me/nothing'; check the name"),
        ("my data", "ALPACA_PATH: 'my data' on the hub: Repo id must"),
        ("me/script", "ALPACA_PATH: 'me/script' on the hub: Dataset scripts are no longer"),
        ("me/broken", "ALPACA_PATH: 'me/broken' on the hub: An error occurred"),
        ("me/empty", "ALPACA_PATH: 'me/empty' on the hub: "),
        ("me/incomplete", "me/incomplete: row 1: expected text in 'instruction', found null"),
    ],
)
def test_hub_data_that_cannot_be_read(hub, locate, name, message):
    locate(alpaca=name)
    assert message_of(sources.alpaca_examples, "train").startswith(message)


def test_a_language_that_the_hub_lacks(hub):
    message = message_of(sources.wikipedia_examples, "xx", "train")
    assert message.startswith("WIKIPEDIA_PATH: 'graelo/wikipedia' on the hub: ")
    assert "20230601.xx" in message


# TFDS.


@pytest.fixture
def prepare_tfds(monkeypatch, tmp_path):
    """Writes prepared TFDS data sets to where TFDS looks for them."""
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "tfds"))

    def prepare(name, configuration, records):
        folder = tmp_path.joinpath("tfds", *filter(None, (name, configuration, "1.0.0")))
        folder.mkdir(parents=True)
        features = tfds.features.FeaturesDict(
            {k: tf.string if isinstance(v, str) else tf.int64 for k, v in records[0].items()}
        )
        with tf.io.TFRecordWriter(str(folder / f"{name}-train.tfrecord-00000-of-00001")) as file:
            for record in records:
                file.write(features.serialize_example(record))
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name=name, split="train", filetype_suffix="tfrecord"
        )
        split = tfds.core.SplitInfo(
            name="train", shard_lengths=[len(records)], num_bytes=0, filename_template=template
        )
        tfds.folder_dataset.write_metadata(data_dir=folder, features=features, split_infos=[split])

    return prepare


def test_tfds(prepare_tfds, locate):
    prepare_tfds("my_alpaca", None, [{**record, "number": 3} for record in ALPACA])
    prepare_tfds("my_wikipedia", "20230601.hi", [{"text": "पानी", "title": "t"}])
    locate(alpaca="tfds:my_alpaca", wikipedia="tfds:my_wikipedia")
    assert list(sources.alpaca_examples("train")) == ALPACA
    assert list(sources.wikipedia_examples("hi", "train")) == [{"text": "पानी"}]


def test_tfds_errors_name_macro_and_data_set(prepare_tfds, locate):
    prepare_tfds("my_alpaca", None, [{"instruction": "a"}])
    locate(alpaca="tfds:my_alpaca")
    message = message_of(sources.alpaca_examples, "train")
    assert message.startswith("my_alpaca: record 0: expected text in 'output'")
    locate(alpaca="tfds:none_of_that_name", wikipedia="tfds:wikipedia", xquad="tfds:xquad")
    message = message_of(sources.alpaca_examples, "train")
    assert message.startswith("ALPACA_PATH: TFDS holds no prepared 'none_of_that_name'")
    message = message_of(sources.wikipedia_examples, "xx", "train")
    assert message.startswith("WIKIPEDIA_PATH: TFDS holds no prepared 'wikipedia/20230601.xx'")
    message = message_of(sources.wikipedia_examples, "hi", "train")
    assert message.startswith("WIKIPEDIA_PATH: TFDS holds no prepared 'wikipedia/20230601.hi'")
    message = message_of(sources.xquad_examples, "hi", "validation")
    assert message.startswith("XQUAD_PATH: 'tfds:xquad': ")
