import ast
import contextlib
import gc
import re
import threading
import time

import gin
import pytest

from commit_t5x.engine import gin_utils, train
from commit_t5x.errors import InputError
from commit_t5x.model import optim

HEADER = "from __gin__ import dynamic_registration\nfrom commit_t5x.model import optim\n"
SCHEDULE = HEADER + "PEAK = 0.5\noptim.warmup_cosine:\n  peak = %PEAK\n  warmup_steps = 0\n"


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads files, given by their content, with bindings."""
    monkeypatch.chdir(tmp_path)

    def load(*contents, bindings=(), search_paths=()):
        names = []
        for number, content in enumerate(contents):
            names.append(f"file{number}.gin")
            (tmp_path / names[-1]).write_text(content)
        gin_utils.load(names, bindings, search_paths)

    yield load
    gin.clear_config()


def _peak():
    return gin.get_configurable(optim.warmup_cosine)()(0)


def test_later_files_and_then_bindings_win(load):
    load(SCHEDULE)
    assert _peak() == 0.5
    load(SCHEDULE, "PEAK = 0.25")
    assert _peak() == 0.25
    load(SCHEDULE, "PEAK = 0.25", bindings=["PEAK=0.125"])
    assert _peak() == 0.125
    load(SCHEDULE, bindings=["optim.warmup_cosine.peak = 2.0"])
    assert _peak() == 2.0


@pytest.mark.parametrize(
    "first, second, refused",
    [
        ("PEAK = 0.25", SCHEDULE, True),
        ("PEAK = 0.5  # the same", SCHEDULE, False),
        ("PEAK = 0.25\nOTHER = 1", SCHEDULE.replace("0\n", "%OTHER\n"), False),
        (SCHEDULE, "PEAK = 0.25", False),
        (SCHEDULE, SCHEDULE.replace("0.5", "0.25"), False),
        ("PEAK = 0.25", "include 'file0.gin'\n" + SCHEDULE.replace("PEAK = 0.5\n", ""), False),
    ],
)
def test_file_that_does_nothing_before_others(first, second, refused, load):
    # So lora.gin in front of a row would train all weights.
    error = pytest.raises(InputError, match="--gin_file=file0.gin: has no effect, .* PEAK among")
    with error if refused else contextlib.nullcontext():
        load(first, second)


@pytest.mark.parametrize(
    "content, taken_back",
    [
        ("include 'fidelity/paper.gin'\ninclude 'common/instruction_tuning.gin'", "SHUFFLE"),
        ("CODEMIX_RATIO = 0.2\ninclude 'recipes/commit.gin'", "CODEMIX_RATIO"),
        ("include 'recipes/commit.gin'\ninclude 'data.gin'", "TASK_FAMILY"),
        ("SEQUENCE_LENGTH = 512\ninclude 'recipes/commit.gin'", None),  # the default
        ("include 'common/instruction_tuning.gin'\ninclude 'fidelity/paper.gin'", None),
        ("include 'recipes/commit.gin'\ninclude 'hidden_states/l2.gin'", None),
    ],
)
def test_a_setting_that_the_files_behind_it_take_back(content, taken_back, load):
    names = ("MODEL_DIR", "LANGUAGE", "DICT_DIR", "TOKENIZER")
    required = [f"{name} = 'x'" for name in names] + ["INITIAL_CHECKPOINT_PATH = None"]
    error = pytest.raises(
        InputError, match=rf"\.gin: {taken_back} has no effect, as .*\.gin, which"
    )
    with error if taken_back else contextlib.nullcontext():
        load(content, bindings=required)


@pytest.mark.parametrize(
    "model, parameter",
    [("1b", "llama.preset.name"), ("from_checkpoint", "llama.Llama.config"), ("7b", None)],
)
def test_a_model_before_the_run_that_has_its_own(model, parameter, load):
    files = [f"models/{model}.gin", "main_results/commit.gin"]
    error = pytest.raises(
        InputError, match=rf"--gin_file=models/{model}.gin: its {parameter} has no effect, as a run"
    )
    with error if parameter else contextlib.nullcontext():
        gin_utils.parse(files)
    gin_utils.parse(files[::-1])


@pytest.mark.parametrize("run", ["runs/eval.gin", "evaluation/xquad.gin"])
def test_a_run_may_follow_another(run, load):
    gin_utils.parse(["quickstart.gin", run])
    with pytest.raises(
        InputError, match=r"paper\.gin: SHUFFLE has no effect, as .*step\.gin, which"
    ):
        gin_utils.parse(["fidelity/paper.gin", "common/instruction_tuning.gin", run])


def test_a_file_of_ones_own_may_set_anew_what_stands_above_it(load, tmp_path):
    (tmp_path / "local.gin").write_text("PEAK = 3.0")
    load(SCHEDULE + "include 'local.gin'")
    assert _peak() == 3.0


def test_loading_forgets_what_was_loaded_before(load):
    load(SCHEDULE, bindings=["PEAK=0.125"])
    load(SCHEDULE)
    assert _peak() == 0.5


def test_values_are_parsed_while_another_thread_parses(load):
    """Python up to 3.11.7 mixes them up when the garbage collector lets threads switch."""
    done = threading.Event()

    def other():
        while not done.is_set():
            with contextlib.suppress(SystemError):
                ast.literal_eval("(1, [2, 3])")

    def switch(*_):
        if threading.current_thread() is threading.main_thread():
            time.sleep(1e-4)

    thread = threading.Thread(target=other)
    often = gc.get_threshold()
    gc.callbacks.append(switch)
    gc.set_threshold(5)
    thread.start()
    try:
        load(SCHEDULE, bindings=["PEAK = 0.25"] * 9)
    finally:
        done.set()
        gc.callbacks.remove(switch)
        gc.set_threshold(*often)
        thread.join()


def test_search_paths_come_before_the_current_folder(load, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "peak.gin").write_text("PEAK = 3.0")
    (tmp_path / "peak.gin").write_text("PEAK = 4.0")
    load(SCHEDULE + "include 'peak.gin'", search_paths=[str(other)])
    assert _peak() == 3.0
    load(SCHEDULE + "include 'peak.gin'")
    assert _peak() == 4.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("PEAK = ", r"file0\.gin:1: .*"),
        ("PEAK = 1\noptim.warmup_cosine.peak 5", r"file0\.gin:2: .*expected ':' or '='.*"),
        (
            HEADER + "optim.warmup_cosine.peek = 1",
            r"file0\.gin:3: .*doesn't have a parameter named 'peek'; did you mean peak\?",
        ),
        (
            HEADER + "optim.warmup_cosin.peak = 1",
            r"file0\.gin:3: .*has no attribute warmup_cosin; did you mean warmup_cosine\?",
        ),
        (
            HEADER + "X = @optim.adam()",
            r"file0\.gin:3: .*has no attribute adam; did you mean adamw\?",
        ),
        (HEADER + "optimizers.adamw.b1 = 1", r"file0\.gin:3: 'optimizers' was not provided.*"),
        ("import commit_t5x.optima", r"file0\.gin:1: No module named 'commit_t5x.optima'"),
        ("include 'finetun.gin'", r"file0\.gin:1: no such gin file: finetun\.gin.*"),
        (
            HEADER + "optim.warmup_cosine.peak = %PEAC\nPEAK = 1",
            r"PEAC: used by warmup_cosine\.peak, but not set; did you mean PEAK\?; add .*",
        ),
        ("PEAK = %gin.REQUIRED\nEND = %gin.REQUIRED", r"PEAK, END: required, but not set; add "
         r"--gin\.PEAK=VALUE --gin\.END=VALUE"),
    ],
)  # fmt: skip
def test_errors_in_files_name_the_line(load, content, message):
    with pytest.raises(InputError) as error:
        load(content)
    assert re.fullmatch(message, str(error.value)), str(error.value)


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("PEEK=1", "--gin.PEEK: no gin file defines or uses this macro; did you mean PEAK?"),
        ("PEAK=high", "strings need quotes: --gin.PEAK=\"'high'\""),
        ("PEAK=a/b-c.txt", "strings need quotes: --gin.PEAK=\"'a/b-c.txt'\""),
        ("PEAK=[1", "--gin.PEAK=[1: "),
        ("optim.warmup_cosine.peek=1", "--gin.optim.warmup_cosine.peek=1: Configurable"),
        ("optim.warmup_cosin.peak=1", "; did you mean optim.warmup_cosine?"),
    ],
)
def test_errors_in_bindings_name_the_flag(load, binding, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        load(SCHEDULE, bindings=[binding])
    assert "\n" not in str(error.value)


def test_settings_that_are_others_than_a_runs(load, tmp_path):
    load(SCHEDULE)
    assert gin_utils.other_settings(tmp_path) == []
    gin_utils.summarize_gin_config(tmp_path, None, 0)
    assert gin_utils.other_settings(tmp_path) == []
    load(SCHEDULE, bindings=["PEAK=0.25", "optim.warmup_cosine.end=0.1"])
    found = ["PEAK = 0.25 (was 0.5)", "optim.warmup_cosine.end = 0.1 (was not set)"]
    assert gin_utils.other_settings(tmp_path) == found
    gin_utils.summarize_gin_config(tmp_path, None, 10)  # the run went on with them
    assert gin_utils.other_settings(tmp_path) == []


def test_settings_are_compared_by_what_they_come_to(load, tmp_path):
    load(SCHEDULE.replace("%PEAK", "0.5").replace("PEAK = 0.5\n", ""))
    gin_utils.summarize_gin_config(tmp_path, None, 0)
    load(SCHEDULE)
    assert gin_utils.other_settings(tmp_path) == []
    load(SCHEDULE.replace("0.5", "%TOP") + "TOP = 0.25")
    assert gin_utils.other_settings(tmp_path) == ["PEAK = 0.25 (was 0.5)"]


def test_a_file_that_stands_in_for_one_of_the_project_is_named(load, tmp_path, capsys):
    (tmp_path / "text.gin").write_text("VOCABULARY = None\nTOKENIZER = None")
    with pytest.raises(InputError):
        load("include 'quickstart.gin'", bindings=["MODEL_DIR = 'out'"])
    [line] = capsys.readouterr().err.splitlines()
    assert line == (
        "commit-t5x: warning: text.gin of the current folder is read in place of the project's "
        "file of that name"
    )


def test_missing_file_suggests_the_projects_own():
    with pytest.raises(InputError, match="no such gin file: runs/finetun.gin; did you mean "
                       "runs/finetune.gin"):  # fmt: skip
        gin_utils.load(["runs/finetun.gin"])


@gin.configurable(module="test_gin_utils")
def _marked(value=gin.REQUIRED):
    return value


@gin.configurable(module="test_gin_utils")
def _positional(value):
    return value


@gin.configurable(module="test_gin_utils")
class _Keyword:
    def __init__(self, *, value):
        self.value = value


@pytest.mark.parametrize("needy", [_marked, _positional, _Keyword])
def test_missing_argument_of_a_configurable_is_an_error(load, needy):
    load(SCHEDULE)
    with pytest.raises(InputError, match=rf"^{needy.__name__}\.value: required, but not set; add"):
        with gin_utils.plain_errors():
            needy()


def test_other_errors_pass(load):
    load(SCHEDULE)
    with pytest.raises(TypeError, match="'<=' not supported"):
        with gin_utils.plain_errors():
            sorted([_positional(1) <= _positional("a")])


def test_flags():
    flags = gin_utils.parse_flags(
        ["--gin_file=a.gin", "--gin_file", "b.gin", "--gin.X='y=z'", "--gin_bindings=c.d = 1",
         "--gin_search_paths=p,q"]
    )  # fmt: skip
    assert flags.gin_file == ["a.gin", "b.gin"]
    assert flags.gin_bindings == ["X='y=z'", "c.d = 1"]
    assert flags.gin_search_paths == ["p", "q"]


def test_unknown_flags_exit_with_2(capsys):
    with pytest.raises(SystemExit) as stop:
        gin_utils.parse_flags(["--gin_fil=a.gin"])
    assert stop.value.code == 2
    assert "--gin_fil" in capsys.readouterr().err


def test_binding_without_a_value_is_an_error():
    with pytest.raises(InputError, match="--gin.X: has no value; write --gin.X=VALUE"):
        gin_utils.parse_flags(["--gin.X"])


RUN = """
from __gin__ import dynamic_registration
import tiny
from commit_t5x.data import feature_converters
from commit_t5x.model import optim
include 'runs/finetune.gin'
feature_converters.DecoderFeatureConverter.vocabulary = %VOCABULARY
NETWORK = @tiny.TinyNetwork()
VOCABULARY = @tiny.TinyVocabulary()
OPTIMIZER = @optim.adamw()
optim.adamw.learning_rate = 0.01
MIXTURE_OR_TASK_NAME = 'tiny_train'
TASK_FEATURE_LENGTHS = {'inputs': 16, 'targets': 16, 'row': 16}
INITIAL_CHECKPOINT_PATH = None
BATCH_SIZE = 8
"""


@pytest.fixture
def run_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.gin").write_text(RUN)
    yield "--gin_file=run.gin"
    gin.clear_config()


def test_run_trains(tmp_path, run_file):
    step, state = gin_utils.run(
        [run_file, "--gin.MODEL_DIR='out'", "--gin.TRAIN_STEPS=2", "--gin.NUM_MICROBATCHES=2"],
        train.train,
    )
    assert step == state.step == 2
    assert (tmp_path / "out" / "checkpoint_2").is_dir()
    text = (tmp_path / "out" / "config.gin").read_text()
    assert "TRAIN_STEPS = 2" in text and "num_microbatches = %NUM_MICROBATCHES" in text


def test_run_says_which_required_macros_are_missing(run_file):
    with pytest.raises(InputError, match="^MODEL_DIR, TRAIN_STEPS: required, but not set"):
        gin_utils.run([run_file], train.train)


def test_error_inside_a_run_stays_one_line(run_file):
    flags = [run_file, "--gin.MODEL_DIR='out'", "--gin.TRAIN_STEPS=2", "--gin.BATCH_SIZE=9"]
    with pytest.raises(InputError) as error:
        gin_utils.run([*flags, "--gin.NUM_MICROBATCHES=2"], train.train)
    assert str(error.value) == (
        "BATCH_SIZE: 9 is not a multiple of NUM_MICROBATCHES, 2; change one of them"
    )


def test_run_without_a_run_file_is_an_error():
    def unbound():
        return None

    with pytest.raises(InputError, match="no file configures unbound; add a run file"):
        gin_utils.run([], unbound)
