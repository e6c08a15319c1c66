import json

import numpy as np
import pytest

from commit_t5x import errors
from commit_t5x.evaluation import results


def save(path, tasks, **more):
    """Writes a result file with {task: {metric: value}}."""
    content = {
        "results": {
            task: {"alias": task, "sample_len": 4}
            | {f"{metric},none": value for metric, value in scores.items()}
            | {f"{metric}_stderr,none": 1.0 for metric in scores}
            for task, scores in tasks.items()
        },
        "n-samples": {task: {"original": 9, "effective": 4} for task in tasks},
        "higher_is_better": {task: dict.fromkeys(scores, True) for task, scores in tasks.items()},
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_load_reads_folders_recursively(tmp_path):
    save(tmp_path / "commit" / "results.json", {"t_hi": {"exact_match": 6.0, "f1": 11.0}})
    save(tmp_path / "deep" / "alpaca" / "results.json", {"t_el": {"f1": 1.0}})
    (tmp_path / "commit" / "model_config.json").write_text('{"results": 3}')
    (tmp_path / "commit" / "broken.json").write_text("{")
    report = results.load([tmp_path])
    assert report.runs == ["commit", "deep/alpaca"]
    assert report.columns == [("t_el", "f1"), ("t_hi", "exact_match"), ("t_hi", "f1")]
    assert report.tasks() == {"t_el": ["f1"], "t_hi": ["exact_match", "f1"]}
    assert report.higher_is_better == set(report.columns)
    assert set(report.scores) == {
        ("commit", "t_hi", "exact_match"),
        ("commit", "t_hi", "f1"),
        ("deep/alpaca", "t_el", "f1"),
    }


def test_intervals_come_from_samples_or_else_from_the_standard_error(tmp_path):
    save(
        tmp_path / "results.json",
        {"t": {"f1": 50.0, "exact_match": 25.0}},
        sample_scores={"t": {"exact_match": [100.0, 0.0, 0.0, 0.0]}},
    )
    report = results.load([tmp_path / "results.json"])
    [run] = report.runs
    em, f1 = report.scores[run, "t", "exact_match"], report.scores[run, "t", "f1"]
    assert (em.value, em.low, em.high, em.num_samples) == (25.0, 0.0, 75.0, 4)
    assert (f1.low, f1.high) == (pytest.approx(50 - 1.96, abs=1e-3), pytest.approx(51.96, abs=1e-3))


def test_runs_under_other_conditions_are_told_apart(tmp_path):
    usual = {
        "versions": {"t": 1},
        "n-shot": {"t": 0},
        "configs": {
            "t": {"doc_to_text": "{{question}} " * 20, "generation_kwargs": {"until": "."}}
        },
    }
    others = {
        "version": {"versions": {"t": 2}},
        "shots": {"n-shot": {"t": 3}},
        "limit": {"n-samples": {"t": {"original": 9, "effective": 2}}},
        "prompts": {"configs": {"t": {"doc_to_text": "{{context}}"}}},
        "hashed": {"prompts": {"t": "81c3"}},
        "tokenizer": {"config": {"tokenizer": "b"}},
    }
    same = {"config": {"tokenizer": "a"}, **usual}
    for name, content in {"a": same, "b": same, "c": same, **others}.items():
        save(tmp_path / name / "results.json", {"t": {"f1": 1.0}}, **{**same, **content})
    report = results.load([tmp_path])
    assert {run: report.unlike(run, "t") for run in "abc"} == dict.fromkeys("abc")
    assert report.unlike("version", "t") == "task version 2 instead of 1"
    assert report.unlike("shots", "t") == "shots 3 instead of 0"
    assert report.unlike("limit", "t") == "questions 2 instead of 4"
    assert "prompts {{context}} instead of " in report.unlike("prompts", "t")
    assert "prompts 81c3 instead of " in report.unlike("hashed", "t")
    assert report.unlike("tokenizer", "t") == "tokenizer b instead of a"


def test_a_score_that_is_no_number_has_no_interval(tmp_path):
    nan = float("nan")
    save(tmp_path / "results.json", {"t": {"f1": nan}}, sample_scores={"t": {"f1": [1.0, nan]}})
    [score] = results.load([tmp_path]).scores.values()
    assert np.isnan(score.value) and score.low is score.high is None


@pytest.mark.parametrize(
    "files, names",
    [
        (["out/results.json"], ["out"]),
        (["out/native.json"], ["native"]),
        (["out/native.json", "out/export.json"], ["native", "export"]),
        (["out/results.json", "out/export.json"], ["results", "export"]),
        (["a/x/results.json", "b/x/results.json"], ["a/x", "b/x"]),
        (["out/results.json", "out/sub/results.json"], ["out", "sub"]),
        (["m/results_1.json", "m/results_2.json"], ["results_1", "results_2"]),
        (["a/results_2026.json", "b/results_2026.json"], ["a", "b"]),
    ],
)
def test_names_of_runs(tmp_path, files, names):
    for file in files:
        save(tmp_path / file, {"t": {"f1": 1.0}})
    assert results.load([tmp_path / file for file in files]).runs == names


def test_runs_keep_the_order_of_the_paths(tmp_path):
    for name in ("a", "b", "c"):
        save(tmp_path / name / "results.json", {"t": {"f1": 1.0}})
    assert results.load([tmp_path / "c", tmp_path / "a", tmp_path / "b"]).runs == ["c", "a", "b"]


def test_bad_input(tmp_path):
    with pytest.raises(errors.InputError, match="none: no such file or folder"):
        results.load([tmp_path / "none"])
    with pytest.raises(errors.InputError, match="no result files; make one with"):
        results.load([tmp_path])
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(errors.InputError, match="config.json: not a result file: no key 'results'"):
        results.load([tmp_path / "config.json"])
    (tmp_path / "results.json").write_text('{"results": {')
    with pytest.raises(errors.InputError, match="results.json: not valid JSON"):
        results.load([tmp_path])


@pytest.mark.parametrize(
    ("key", "value"),
    [("n-samples", 5), ("n-samples", {"t": 5}), ("versions", None), ("configs", {"t": None}),
     ("sample_scores", {"t": {"em": ["x"]}}), ("higher_is_better", {"t": 5}), ("config", [])],
)  # fmt: skip
def test_files_of_another_shape_are_named(tmp_path, key, value):
    save(tmp_path / "results.json", {"t": {"em": 1.0}}, **{key: value})
    with pytest.raises(errors.InputError, match=f"results.json: {key}.*: .* valid .*; make it"):
        results.load([tmp_path])


def test_seeds_of_a_folder_are_one_run(tmp_path):
    for seed, scores in (("0", [0.0, 50.0]), ("1", [50.0, 100.0]), ("10", [100.0, 0.0])):
        more = {"sample_scores": {"t": {"f1": scores}}}
        save(tmp_path / "commit" / f"seed_{seed}.json", {"t": {"f1": np.mean(scores)}}, **more)
    save(tmp_path / "base.json", {"t": {"f1": 7.0}})
    report = results.load([tmp_path])
    assert report.runs == ["base", "commit"]
    score = report.scores["commit", "t", "f1"]
    assert (score.value, score.num_samples) == (50.0, 4)
    assert score.low < 25.0 and score.high > 75.0  # means of the seeds' are 25, 75 and 50
    assert report.conditions["commit", "t"]["seeds"] == "0, 1, 10"
    assert report.unlike("base", "t") is None


def test_a_measure_that_a_seed_lacks_is_left_out(tmp_path):
    save(tmp_path / "seed_0.json", {"t": {"f1": 7.0, "word_f1": 8.0}})
    save(tmp_path / "seed_1.json", {"t": {"f1": 9.0}})
    report = results.load([tmp_path])
    assert [(metric, score.value) for (*_, metric), score in report.scores.items()] == [("f1", 8.0)]


def test_a_score_lies_in_its_interval(tmp_path):
    save(tmp_path / "results.json", {"t": {"f1": 200 / 3}}, sample_scores={"t": {"f1": [66.6667]}})
    [score] = results.load([tmp_path]).scores.values()
    assert score.low <= score.value <= score.high


def test_of_several_filters_the_first_counts(tmp_path):
    values = {"t": {"f1,strict": 10.0, "f1,loose": 90.0}}
    save(tmp_path / "results.json", {}, results=values, sample_scores={"t": {"f1": [0.0, 20.0]}})
    [score] = results.load([tmp_path]).scores.values()
    assert score.value == 10.0


def test_fewer_seeds_are_marked(tmp_path):
    for run, seeds in (("a", "01"), ("b", "01"), ("c", "0")):
        for seed in seeds:
            save(tmp_path / run / f"seed_{seed}.json", {"t": {"f1": 7.0}})
    report = results.load([tmp_path])
    assert [report.unlike(run, "t") for run in "abc"] == [None, None, "seeds 0 instead of 0, 1"]


def test_seeds_with_other_questions_are_refused(tmp_path):
    save(tmp_path / "seed_0.json", {"t": {"f1": 7.0}})
    save(tmp_path / "seed_1.json", {"t": {"f1": 7.0}}, versions={"t": 2}, prompts={"t": "81c3"})
    with pytest.raises(errors.InputError, match="seed_1.json: t: other questions, prompts or"):
        results.load([tmp_path])
