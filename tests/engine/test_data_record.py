import json

import gin
import pytest
import tiny

from commit_t5x.engine import data_record, gin_utils, utils
from commit_t5x.errors import InputError
from commit_t5x.mixing import lexicon

REQUIRED = {
    "MODEL_DIR": "'out'",
    "LANGUAGE": "'hi'",
    "TOKENIZER": "'samples'",
    "ALPACA_PATH": "'samples'",
    "INITIAL_CHECKPOINT_PATH": "None",
}


@pytest.fixture
def describe(tmp_path):
    """Describes the data of recipes/commit.gin with some macros, and a dictionary of one pair."""
    path = tmp_path / "dicts" / "en-hi.txt"
    path.parent.mkdir()

    def described(pair="tea\tचाय\n", **macros):
        path.write_text(pair)
        bindings = {**REQUIRED, "DICT_DIR": f"'{path.parent}'", **macros}
        lines = [f"{name} = {value}" for name, value in bindings.items()]
        gin_utils.load(["recipes/commit.gin", "models/debug.gin"], lines)
        cfg = gin.get_configurable(f"train/{utils.__name__}.DatasetConfig")()
        task = cfg.mixture_or_task_name

        def build():
            import seqio

            return seqio.get_mixture_or_task(task).get_dataset(cfg.task_feature_lengths, "train")

        return data_record.describe(cfg, build)[1]

    yield described
    gin.clear_config()


def test_the_same_data_may_lie_elsewhere(describe, tmp_path):
    here = describe()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "en-hi.txt").write_text("tea\tचाय\n")
    assert describe(DICT_DIR=f"'{tmp_path}/elsewhere'") == here == json.loads(json.dumps(here))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pair": "tea\tचा\n"}, "dictionary en-hi was .*bytes.*, is"),
        ({"CODEMIX_RATIO": "0.5"}, "CODEMIX_RATIO was 0.9, is 0.5; go back"),
        ({"CODEMIX_SCHEDULE": "((0, 0.0), (9, 1.0))"}, r"SCHEDULE was None, is \[\[0, 0.0\], \[9"),
        ({"RANDOM_SEED": "1"}, "RANDOM_SEED was 42, is 1"),
        ({"SEQUENCE_LENGTH": "64"}, "TASK_FEATURE_LENGTHS was .*512.*, is .*64"),
        ({"PROMPT_LANGUAGE": "'el'"}, "PROMPT_LANGUAGE was .*bytes"),
        ({"preprocessors.encode_prompt_response.response_mask": "'paper'"}, "was 'exact', is"),
        ({"PACK": "False", "CODEMIX_RATIO": "0.5"}, "PACK was .*; CODEMIX_RATIO was"),
    ],
)
def test_what_differs_is_named_and_can_be_accepted(describe, tmp_path, change, message):
    data_record.write(tmp_path, 0, describe())
    other = describe(**change)
    with pytest.raises(InputError, match=message) as error:
        data_record.check(tmp_path, other)
    accepted = json.loads(str(error.value).partition("ACCEPT_CHANGES=")[2][1:-1].replace("'", '"'))
    data_record.check(tmp_path, other, accepted)
    data_record.write(tmp_path, 7, other)
    data_record.check(tmp_path, other)
    assert list(json.loads((tmp_path / "data.json").read_text())) == ["from step 0", "from step 7"]


def test_what_is_accepted_must_be_there(describe, tmp_path):
    data_record.write(tmp_path, 0, describe())
    with pytest.raises(InputError, match="ACCEPT_CHANGES: .*'CODEMIX_RATE'; did you mean CODEMIX"):
        data_record.check(tmp_path, describe(), ["CODEMIX_RATE"])


def test_a_run_without_a_record_is_not_compared(tmp_path):
    _, record = data_record.describe(tiny.dataset_config(), lambda: None)
    data_record.check(tmp_path, record)


def test_a_dictionary_that_changes_is_read_anew(tmp_path):
    path = tmp_path / "en-hi.txt"
    for target in ("चाय", "चा"):
        path.write_text(f"tea\t{target}\n")
        [found] = lexicon.load_dictionary("en", "hi", str(tmp_path)).translations("tea")
        assert found == target
