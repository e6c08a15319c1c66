"""The whole command."""

import json

import pytest

from commit_t5x import cli


@pytest.fixture
def run(capsys, bind, tmp_path, monkeypatch):
    """Runs the command in an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            code = cli.main(["inspect", *arguments])
        except SystemExit as exit_:
            code = exit_.code
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    "task, recipe, shown",
    [
        ("alpaca_codemix_hi", "commit", "⟨three⟩"),
        ("wikipedia_codemix_th", "align", "⟨ช้าง⟩"),
    ],
)
def test_a_task_on_the_samples(run, tmp_path, task, recipe, shown):
    few = ("--num_examples=1", "--report_examples=30")
    code, out, _ = run(task, *few, "--html", "pages/page.html", "--json=report.json")
    assert code == 0
    assert out.startswith(f"No --gin_file: recipes/{recipe}.gin on the shipped samples")
    assert f"\n{task}, example 0 " in out and shown in out
    assert f"\n{task}: mix report on 30 examples " in out
    assert out.endswith("Wrote pages/page.html\nWrote report.json\n")
    page = (tmp_path / "pages/page.html").read_text("utf-8")
    assert f">{task}</span>" in page and shown in page
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert (report["name"], report["split"], report["row_length"]) == (task, "train", 512)
    assert report["tasks"][task]["examples"] == 30
    assert 0 < report["tasks"][task]["effective_ratio"] <= report["tasks"][task]["hit_rate"] <= 1


SAMPLES = [f"--gin.{name}='samples'" for name in ("DICT_DIR", "TOKENIZER", "ALPACA_PATH")]


def test_what_a_run_would_train_on(run):
    # MODEL_DIR and INITIAL_CHECKPOINT_PATH, which training requires, are left out.
    flags = ["--gin_file=main_results/commit.gin", "--gin.LANGUAGE='hi'", *SAMPLES]
    flags += ["--gin.RANDOM_SEED=7", "--gin.SEQUENCE_LENGTH=64", "--gin.BATCH_SIZE=4"]
    code, out, _ = run(*flags, "--num_examples=1", "--report_examples=30", "--json=report.json")
    assert code == 0
    assert out.startswith("alpaca_codemix_hi\nsplit train · epoch 0 · seed 7 · rows of 64 tokens\n")
    report = json.load(open("report.json", encoding="utf-8"))["tasks"]["alpaca_codemix_hi"]
    # As in the paper: all of it is trained on, in one stream.
    assert report["over"] > 0 == report["cut"] == report["dropped"] == report["split"]
    assert report["row_fill"] == pytest.approx(1)
    assert report["examples_per_step"] == 4 * report["examples_per_row"]


def test_the_flags_of_the_command_win(run):
    flags = ["--gin_file=evaluation/xquad.gin", "--gin.LANGUAGE='hi'", "--gin.XQUAD_PATH='samples'"]
    flags += ["--gin.TOKENIZER='samples'", "--seed=3", "--start", "2", "--num_examples", "1"]
    code, out, _ = run("xquad_el", *flags, "--sequence_length=60", "--report_examples=0")
    assert code == 0
    assert out.startswith("xquad_el\nsplit validation · epoch 0 · seed 3\n")
    assert "\nxquad_el, example 2 " in out and "CUT: " in out
    assert "report" not in out and "example 3" not in out


BAD_INPUT = {
    "no task": ([], ["TASK: missing", "alpaca_codemix_hi"]),
    "misspelt task": (["alpaca_codmix_hi"], ["'alpaca_codmix_hi'", "did you mean alpaca_codemix"]),
    "no such split": (["alpaca_en", "--split=dev"], ["has no split 'dev'", "choose from train"]),
    "no such language": (["alpaca_codemix_sw"], ["en-sw.txt", "DICT_DIR"]),
    "no such dictionary": (["alpaca_codemix_hi", "--gin.DICT_DIR='muse'"], ["muse/en-hi.txt"]),
    "no such gin file": (["alpaca_en", "--gin_file=recipe/commit.gin"], ["did you mean recipes/"]),
    "a run without its data": (
        ["--gin_file=recipes/commit.gin"],
        ["LANGUAGE, DICT_DIR, TOKENIZER"],
    ),
    "misspelt macro": (["alpaca_en", "--gin.SEQUENCE_LENGHT=9"], ["did you mean SEQUENCE_LENGTH"]),
    "past the end": (["wikipedia_hi", "--start=9999"], ["--start=9999: wikipedia_hi has no such"]),
    "a page nowhere": (
        ["xquad_hi", "--report_examples=0", "--html=/proc/nowhere/page.html"],
        ["/proc/nowhere/page.html: can't be written"],
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_gets_one_line_and_code_2(run, case):
    arguments, expected = BAD_INPUT[case]
    code, _, err = run(*arguments)
    assert code == 2
    [line] = [line for line in err.splitlines() if line.startswith("commit-t5x: error: ")]
    assert all(text in line for text in expected)
    assert "Traceback" not in err


@pytest.mark.parametrize("flag", ["--start=-1", "--num_examples=many", "--sequence_length=1.5"])
def test_numbers_are_checked(run, flag):
    code, _, err = run("alpaca_en", flag)
    assert code == 2
    assert f"argument {flag.partition('=')[0]}: '{flag.partition('=')[2]}' doesn't fit" in err
