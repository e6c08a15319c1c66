import dataclasses
import json
import types

import gin
import pytest
import seqio
from macros import REQUIRED, bindings
from sentencepiece_models import train_model

from commit_t5x.engine import data_record, gin_utils, providers, utils
from commit_t5x.errors import InputError
from commit_t5x.mixing import lexicon


def describe(folder, pair="tea\tचाय\n", **macros):
    """Describes the data of recipes/commit.gin with some macros, and a dictionary of one pair."""
    folder.mkdir()
    (folder / "en-hi.txt").write_text(pair)
    given = {**REQUIRED, "DICT_DIR": f"'{folder}'", **macros}
    gin_utils.load(["recipes/commit.gin", "models/debug.gin"], bindings(**given))
    cfg = gin.get_configurable(f"train/{utils.__name__}.DatasetConfig")()
    gin.get_configurable(f"train_eval/{utils.__name__}.DatasetConfig")()  # of other data
    task = seqio.get_mixture_or_task(cfg.mixture_or_task_name)
    _, record = data_record.describe(
        cfg, lambda: task.get_dataset(cfg.task_feature_lengths, "train")
    )
    return record


@gin.configurable
def users_own_reader(share=gin.REQUIRED):
    return share


@gin.configurable
def users_other(share):
    return share


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return describe(tmp_path_factory.mktemp("data") / "here")


def test_the_same_data_may_lie_elsewhere(tmp_path, record):
    assert describe(tmp_path / "elsewhere") == record == json.loads(json.dumps(record))


def test_each_difference_is_named_and_can_be_accepted(tmp_path, record):
    data_record.write(tmp_path, 0, record)
    other = describe(
        tmp_path / "other",
        "tea\tचा\n",
        CODEMIX_RATIO="0.5",
        CODEMIX_SCHEDULE="((0, 0.0), (9, 1.0))",
        RANDOM_SEED="1",
        BATCH_SIZE="4",
        SEQUENCE_LENGTH="64",
        PROMPT_LANGUAGE="'el'",
        TOKENIZER=f"'{train_model(tmp_path / 'tokenizer.model')}'",
        RESPONSE_MASK="'paper'",
    )
    with pytest.raises(InputError) as error:
        data_record.check(tmp_path, other)
    for difference in (
        "; CODEMIX_RATIO was 0.9, is 0.5;",
        "; CODEMIX_SCHEDULE was None, is [[0, 0.0], [9, 1.0]];",
        "RANDOM_SEED was 42, is 1;",
        ": BATCH_SIZE was 16, is 4;",
        "TASK_FEATURE_LENGTHS was {'inputs': 512, ",
        "PROMPT_LANGUAGE was ['516 bytes ",
        "RESPONSE_MASK was 'exact', is 'paper';",
        "dictionary en-hi was ['14 bytes ",
        "TOKENIZER was '3,000 tokens ",
        "; go back to those, choose another MODEL_DIR, or say",
    ):
        assert difference in str(error.value)
    accepted = json.loads(str(error.value).partition("ACCEPT_CHANGES=")[2][1:-1].replace("'", '"'))
    assert len(accepted) == 9
    data_record.check(tmp_path, other, accepted)
    with pytest.raises(InputError, match="other data: RANDOM_SEED was 42, is 1; go"):
        data_record.check(tmp_path, other, [name for name in accepted if name != "RANDOM_SEED"])
    data_record.write(tmp_path, 7, other)
    data_record.check(tmp_path, other)
    assert list(json.loads((tmp_path / "data.json").read_text())) == ["from step 0", "from step 7"]


def test_what_is_accepted_must_be_there(tmp_path, record):
    data_record.write(tmp_path, 0, record)
    with pytest.raises(InputError, match="ACCEPT_CHANGES: .*'make_mixer.ration'; did you mean"):
        data_record.check(tmp_path, record, ["make_mixer.ration"])


def test_options_newer_than_a_run_count_where_they_are_used(tmp_path, record):
    before = {name: value for name, value in record.items() if "document_filters" not in name}
    assert before != record
    data_record.write(tmp_path, 0, before)
    data_record.check(tmp_path, record)
    with pytest.raises(InputError, match="(?i)document_filters was None, is .'@mine'"):
        data_record.check(tmp_path, {**record, "Locations.document_filters": ["@mine"]})


def test_what_users_configure_counts_where_it_is_called(bind):
    def read(share):
        bind("users_own_reader.share", share)
        with data_record._called() as found:
            users_own_reader()
        return found

    bind("users_other.share", 1.0)
    assert read(0.5) == {"users_own_reader.share": 0.5}
    assert read(0.7) == {"users_own_reader.share": 0.7}


def test_what_is_not_looked_at_does_not_count(tmp_path, record):
    # T5X calls the converter without it.
    saved = {**record, "DecoderFeatureConverter.use_custom_packing_ops": False}
    data_record.write(tmp_path, 0, saved)
    data_record.check(tmp_path, record)


def test_a_run_without_a_record_is_not_compared(tmp_path, record):
    data_record.check(tmp_path, record)


def test_a_dictionary_that_changes_is_read_anew(tmp_path):
    path = tmp_path / "en-hi.txt"
    for target in ("चाय", "चा"):
        path.write_text(f"tea\t{target}\n")
        [found] = lexicon.load_dictionary("en", "hi", str(tmp_path)).translations("tea")
        assert found == target


def test_a_slice_of_a_split_is_known_by_its_files(record):
    task = seqio.get_mixture_or_task("alpaca_codemix_hi")
    assert providers.tasks_with_split(task, "train[:100]") == [task]
    assert providers.tasks_with_split(task, "test") == []
    assert " bytes " in record["data of alpaca_codemix_hi"][0]


def test_of_many_files_a_message_names_few(tmp_path):
    data_record.write(tmp_path, 0, {"data of mine": [f"{n} bytes" for n in range(64)]})
    with pytest.raises(InputError, match="data of mine has 1 other files of 64; go back"):
        data_record.check(
            tmp_path, {"data of mine": ["9 bytes", *(f"{n} bytes" for n in range(1, 64))]}
        )
    with pytest.raises(
        InputError, match=r"was \['0 bytes', .*'3 bytes'\] and 60 more, is \['9'\];"
    ):
        data_record.check(tmp_path, {"data of mine": ["9"]})


def test_long_examples_that_are_kept_and_then_cut_off_are_told(tmp_path, caplog):
    describe(tmp_path / "a")
    describe(tmp_path / "b", LONG_EXAMPLES="'keep'", TRIM_OUTPUT_FEATURES="False")
    assert not caplog.text
    describe(tmp_path / "c", LONG_EXAMPLES="'keep'")
    assert "LONG_EXAMPLES = 'keep' leaves what is longer than a row to stream pack" in caplog.text
    assert "--gin.TRIM_OUTPUT_FEATURES=False" in caplog.text


def test_of_a_cached_task_the_cache_is_what_is_read(tmp_path):
    names = [f"train.tfrecord-{number:05d}-of-00002" for number in range(2)]
    for name in names:
        (tmp_path / name).write_text("rows")
    (tmp_path / "info.train.json").write_text('{"num_shards": 2}')
    source = types.SimpleNamespace(list_shards=lambda split: [f"{split}.txt"])
    task = types.SimpleNamespace(name="mine", source=source, cache_dir=str(tmp_path))
    cfg = utils.DatasetConfig("mine", None, "train", batch_size=1, use_cached=True)
    assert providers.shards_of(task, cfg) == [str(tmp_path / name) for name in names]
    uncached = dataclasses.replace(cfg, use_cached=False)
    assert providers.shards_of(task, uncached) == ["train.txt"]
    (tmp_path / names[0]).unlink()
    with pytest.raises(InputError, match="mine: .* holds 1 of the 2 files of split 'train'; copy"):
        providers.shards_of(task, cfg)
