import importlib.util
import json
import math
import shutil
import subprocess
import sys

import datasets
import pytest
import tokenizers
from lm_eval.api import instance, model, registry
from source_files import write_squad

from commit_t5x import cli, errors
from commit_t5x.evaluation import harness, lm_eval_model


@registry.register_model("scripted")
class Scripted(model.LM):
    """Answers each question with what stands before its question mark."""

    def __init__(self, batch_size=1, shout=False):
        super().__init__()
        self.shout = shout
        self.prompts = []

    def generate_until(self, requests):
        self.prompts += [request.args for request in requests]
        texts = [prompt.split("Question:")[-1].split("?")[0] for prompt, _ in self.prompts]
        return [text.upper() + "!" if self.shout else text for text in texts]

    def loglikelihood(self, requests):
        raise NotImplementedError

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError


@pytest.fixture
def data_dir(tmp_path):
    questions = [("red?", ["red"]), ("big red?", ["red"]), ("blue?", ["red", "green"])]
    write_squad(tmp_path / "xquad.hi.json", *questions, context="red or green")
    return str(tmp_path)


def run(data_dir, **options):
    options = {"tasks": ["ogx_xquad_enhi"], "model": "scripted", **options}
    return harness.run(data_dir=data_dir, **options)


def test_a_torch_model_of_fewer_rows_than_tokens(tmp_path, data_dir, tiny_model):
    backend = tokenizers.Tokenizer.from_file(str(tiny_model.exported / "tokenizer.json"))
    backend.add_tokens(["<obs>"])
    model = shutil.copytree(tiny_model.exported, tmp_path / "model")
    backend.save(str(model / "tokenizer.json"))
    for name in ("hf", "commit_t5x"):
        with pytest.raises(
            errors.InputError, match="has 3,001 tokens, the network 3,000 rows; use"
        ):
            run(data_dir, model=name, model_args={"pretrained": str(model)})


def test_scores_and_table(data_dir, capsys):
    results = run(data_dir)
    scores = results["results"]["ogx_xquad_enhi"]
    assert scores["exact_match,none"] == pytest.approx(100 / 3)
    assert scores["f1,none"] == pytest.approx((100 + 200 / 3) / 3)
    # Sample standard deviation of (100, 0, 0) over the square root of 3.
    assert scores["exact_match_stderr,none"] == pytest.approx(100 / 3)
    assert results["sample_scores"]["ogx_xquad_enhi"] == {
        "exact_match": [100.0, 0.0, 0.0],
        "f1": [100.0, 66.6667, 0.0],
        "target_script": [100.0, 100.0, 100.0],
        "empty": [0.0, 0.0, 0.0],
        "context_span": [100.0, 0.0, 0.0],
    }
    output = capsys.readouterr()
    assert "|ogx_xquad_enhi|" in output.out
    assert output.err == ""  # no progress bar where there is no terminal


def test_other_right_answers_are_other_questions(data_dir, tmp_path):
    before = run(data_dir)["prompts"]
    assert run(data_dir)["prompts"] == before
    questions = [("red?", ["red"]), ("big red?", ["red"]), ("blue?", ["red"])]
    write_squad(tmp_path / "xquad.hi.json", *questions, context="red or green")
    assert run(data_dir)["prompts"] != before


def test_progress_bars_come_back(data_dir, capsys):
    import tqdm

    run(data_dir)
    list(tqdm.tqdm([1], file=sys.stderr))
    assert "1/1" in capsys.readouterr().err


def test_what_takes_long_tells_how_far_it_is_by_lines(data_dir, capsys, monkeypatch):
    monkeypatch.setattr(harness, "_PERIOD", 0)
    run(data_dir)
    error = capsys.readouterr().err
    assert "\r" not in error
    assert any("| 0/" in line for line in error.splitlines())


def test_questions_in_a_language_of_ones_own(tmp_path):
    write_squad(tmp_path / "xquad.sw.json", ("nini?", ["mvua"]), context="mvua")
    labels = '[sw]\nbackground = "Usuli:"\nquestion = "Question:"\nanswer = "Jibu:"\n'
    (tmp_path / "labels.toml").write_text(labels, encoding="utf-8")
    options = {"model": "scripted", "data_dir": str(tmp_path)}
    tasks = ["ogx_xquad_sw", "ogx_xquad_ensw"]
    results = harness.run(tasks=tasks, labels=str(tmp_path / "labels.toml"), **options)
    assert sorted(results["results"]) == sorted(tasks)
    assert len(set(results["prompts"].values())) == 2
    with pytest.raises(errors.InputError, match="labels: none for language 'sw'"):
        harness.run(tasks=tasks, **options)


def test_bits_per_byte_of_a_text(tmp_path, tiny_model):
    texts = ["नमस्ते दुनिया", "It rains in Delhi."]
    (tmp_path / "hi.txt").write_text("\n\n".join(texts), encoding="utf-8")
    model = {"model_args": f"pretrained={tiny_model.native}"}
    results = harness.run(tasks=["ogx_text_hi"], data_dir=str(tmp_path), **model)
    assert results["config"]["model_num_parameters"] == tiny_model.config.num_parameters
    lm = lm_eval_model.CommitLM(str(tiny_model.native))
    requests = [instance.Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts]
    nats, size = sum(lm.loglikelihood_rolling(requests)), sum(len(t.encode()) for t in texts)
    bits = results["results"]["ogx_text_hi"]["bits_per_byte,none"]
    assert bits == pytest.approx(-nats / size / math.log(2))
    of_texts = results["sample_scores"]["ogx_text_hi"]["bits_per_byte"]
    assert len(of_texts) == 2 and sum(of_texts) / 2 == pytest.approx(bits, abs=1e-5)


def test_one_file_serves_one_language(data_dir, tmp_path):
    file = str(shutil.copy(f"{data_dir}/xquad.hi.json", tmp_path / "questions.json"))
    results = run(file, tasks=["ogx_xquad_hi", "ogx_xquad_enhi"])
    assert len(results["results"]) == 2
    with pytest.raises(errors.InputError, match="questions.json is one file, and ogx_xquad_en"):
        run(file, tasks=["ogx_xquad_en", "ogx_xquad_hi"])


def test_what_is_no_mean_of_its_questions_has_no_scores_of_each():
    rows = [
        {"filter": which, "doc_id": number, "metrics": ["f1", "perplexity"], "f1": f1} | more
        for which in ("strict", "loose")
        for number, (f1, more) in enumerate([(1.0, {"perplexity": -3.0}), (0, {"perplexity": -2})])
    ]
    values = {"f1,strict": 0.5, "f1,loose": 0.5, "perplexity,strict": 12.2}
    assert harness._numeric_scores(rows, values) == {"f1": [1.0, 0]}


def test_limit_and_model_args_as_text(data_dir):
    results = run(data_dir, limit=2, model_args="shout=True")
    assert results["sample_scores"]["ogx_xquad_enhi"]["exact_match"] == [100.0, 0.0]
    assert results["config"]["model_args"] == "shout=True"
    assert results["config"]["limit"] == 2
    assert run(data_dir, limit=1)["n-samples"]["ogx_xquad_enhi"]["effective"] == 1


def test_results_file_is_whole_and_repeatable(data_dir, tmp_path):
    returned = run(data_dir, output_path=str(tmp_path / "a.json"))
    run(data_dir, output_path=str(tmp_path / "b"))
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == (tmp_path / "b" / "results.json").read_text(encoding="utf-8")
    assert json.loads(text)["sample_scores"] == returned["sample_scores"]
    assert '"exact_match": [ 100.0, 0.0, 0.0 ]' in text
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["results.json"]


def test_samples_are_logged_on_request(data_dir, tmp_path):
    run(data_dir, output_path=str(tmp_path / "out"), log_samples=True)
    lines = (tmp_path / "out" / "results_samples_ogx_xquad_enhi.jsonl").read_text().splitlines()
    assert [json.loads(line)["filtered_resps"] for line in lines] == [
        ["red"],
        ["big red"],
        ["blue"],
    ]


def test_few_shots_and_generation_options_reach_the_model(data_dir, monkeypatch):
    seen = []
    monkeypatch.setattr(
        Scripted, "generate_until", lambda self, r: seen.extend(q.args for q in r) or [""] * len(r)
    )
    run(data_dir, num_fewshot=2, gen_kwargs="max_gen_toks=7")
    assert [prompt.count("Background:") for prompt, _ in seen] == [3, 3, 3]
    assert seen[0][1] == {"until": ["\n"], "do_sample": False, "max_gen_toks": 7}
    run(data_dir, num_fewshot=2, gen_kwargs={"max_gen_toks": 7})
    assert seen[:3] == seen[3:]  # the choice of examples is seeded


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"tasks": ["ogx_xquad_hindi"]},
            "--tasks: 'ogx_xquad_hindi' is unknown; did you mean ogx_xquad",
        ),
        ({"model": "comit_t5x"}, "--model: 'comit_t5x' is unknown; did you mean commit_t5x"),
        ({"model_args": "loud=1"}, "model_args of scripted: .*'loud'; mend --model_args"),
        ({"model": "commit_t5x"}, "model_args of commit_t5x: missing .* 'pretrained'"),
        (
            {"model": "commit_t5x", "model_args": "pretrained=absent"},
            "absent: no such file or directory; name a checkpoint",
        ),
        (
            {"model": "hf", "model_args": {"pretrained": "/none"}},
            "model hf .*/none: .*mend --model_args",
        ),
        ({"tasks": ["ogx_text_el"]}, "el.txt: no such file; put the official el.txt there"),
        ({"tasks": ["ogx_xquad_el"]}, "xquad.el.json: no such file; put the official"),
        ({"include_path": "none"}, "none: no such folder; --include_path takes one"),
    ],
)
def test_bad_input_is_one_line(data_dir, options, message):
    with pytest.raises(errors.InputError, match=message) as error:
        run(data_dir, **options)
    assert "\n" not in str(error.value)


def test_data_of_other_tasks_that_cannot_be_had(data_dir, tmp_path, monkeypatch):
    def unreachable(path, *args, **kwargs):
        raise ConnectionError(f"Couldn't reach '{path}' on the Hub\nfor some reason")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    (tmp_path / "mine.yaml").write_text("task: mine\ndataset_path: a/b\n")
    with pytest.raises(errors.InputError, match="tasks: Couldn't reach 'a/b' on the Hub; put a co"):
        run(data_dir, tasks=["mine"], include_path=str(tmp_path))


def test_tasks_whose_code_cannot_be_imported(data_dir, tmp_path):
    (tmp_path / "mine.yaml").write_text("task: mine\nprocess_docs: !function broken.docs\n")
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    with pytest.raises(errors.InputError, match="can't load one of mine .*no_such_module"):
        run(data_dir, tasks=["mine"], include_path=str(tmp_path))


def test_no_results_file_after_an_error(data_dir, tmp_path):
    with pytest.raises(errors.InputError):
        run(data_dir, model_args="loud=1", output_path=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="this build of torch brings no triton"
)
def test_hf_model_in_a_process_of_its_own(tiny_model, data_dir):
    command = [sys.executable, "-m", "commit_t5x.cli", "lm-eval", "--model", "hf"]
    command += ["--model_args", f"pretrained={tiny_model.exported},add_bos_token=False"]
    command += ["--tasks", "ogx_xquad_enhi", "--data-dir", data_dir]
    command += ["--limit", "1", "--gen_kwargs", "max_gen_toks=8"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "|ogx_xquad_enhi|" in result.stdout


def test_torch_is_asked_for_where_it_is_missing(data_dir, monkeypatch):
    def fail(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(registry, "get_model", fail)
    with pytest.raises(errors.InputError, match="model 'hf': needs torch, which isn't installed"):
        run(data_dir, model="hf")


def test_command_line(data_dir, tmp_path, capsys):
    arguments = ["lm-eval", "--model", "scripted", "--model_args", "shout=False"]
    arguments += ["--tasks", "ogx_xquad_enhi", "--data-dir", data_dir, "--limit", "2"]
    arguments += ["--output_path", str(tmp_path / "r.json")]
    assert cli.main(arguments) == 0
    output = capsys.readouterr()
    assert output.out.endswith(f"Wrote {tmp_path / 'r.json'}\n")
    assert output.err == ""
    results = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert results["n-samples"]["ogx_xquad_enhi"]["effective"] == 2
