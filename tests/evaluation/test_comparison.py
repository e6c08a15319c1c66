import json
import math

import numpy as np
import pytest

from commit_t5x import errors
from commit_t5x.evaluation import comparison, results


def content(f1, **more):
    return {
        "results": {"ogx_xquad_hi": {"f1,none": float(np.mean(f1))}},
        "n-samples": {"ogx_xquad_hi": {"effective": len(f1)}},
        "sample_scores": {"ogx_xquad_hi": {"f1": list(f1), "empty": [0.0] * len(f1)}},
        **more,
    }


def save(folder, f1, answers=None, **more):
    folder.mkdir()
    path = folder / "results.json"
    path.write_text(json.dumps(content(f1, **more)), encoding="utf-8")
    rows = [
        {
            "doc_id": place,
            "arguments": [[f"Background:\n\nC{place}\n\nQuestion:Q{place}?\n\nAnswer:", {}]],
            "target": ["rain"],
            "filtered_resps": [answer],
            "f1": f1[place],
        }
        for place, answer in enumerate(answers or ())
    ]
    if rows:
        log = results.samples_path(path, "ogx_xquad_hi")
        log.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)), encoding="utf-8")
    return folder


def test_interval_and_p_are_those_of_the_paired_test_for_many_questions():
    random = np.random.default_rng(0)
    hard = random.normal(50, 30, 1000)  # which questions are hard is common to both runs
    first, second = hard + random.normal(0, 5, 1000), hard + random.normal(0.35, 5, 1000)
    [found] = comparison.differences(content(first), content(second), "ogx_xquad_hi")
    changes = second - first
    error = changes.std(ddof=1) / math.sqrt(1000)
    assert found.second - found.first == pytest.approx(changes.mean())
    assert found.low == pytest.approx(changes.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(changes.mean() + 1.96 * error, abs=0.1 * error)
    assert found.p == pytest.approx(math.erfc(changes.mean() / error / math.sqrt(2)), abs=0.01)


def test_equal_runs_do_not_differ():
    [found] = comparison.differences(content([0.0, 9.0]), content([0.0, 9.0]), "ogx_xquad_hi")
    assert (found.low, found.high, found.p) == (0.0, 0.0, 1.0)


def test_the_questions_that_changed_most(tmp_path):
    alpaca = save(tmp_path / "alpaca", [0.0, 100.0, 50.0], ["sun", "rain", "the rain"])
    commit = save(tmp_path / "commit", [100.0, 60.0, 50.0], ["rain", "it\nrains", "a rain"])
    text = comparison.compare(alpaca, commit, questions=2)
    table, counts, *shown = text.replace("\n- ", "\n\n- ").strip().split("\n\n")
    assert table.startswith("| xquad_hi   |   alpaca |   commit |   difference | 95 % interval ")
    assert "| f1         |     50.0 |     70.0 |        +20.0 | -40.0 to +100.0 |" in table
    assert counts == "1 questions score higher, 1 lower, 1 the same."
    assert shown == [
        "- question 1: f1 +100.0\n  - asked: Background: C0 Question:Q0? Answer:\n"
        '  - gold: ["rain"]\n  - alpaca: sun\n  - commit: rain',
        "- question 2: f1 -40.0\n  - asked: Background: C1 Question:Q1? Answer:\n"
        '  - gold: ["rain"]\n  - alpaca: rain\n  - commit: it rains',
    ]


def test_without_logs_the_questions_have_numbers_only(tmp_path):
    alpaca = save(tmp_path / "alpaca", [0.0, 100.0])
    commit = save(tmp_path / "commit", [0.0, 50.0])
    text = comparison.compare(alpaca, commit, metrics=["all"])
    assert "- question 2: f1 -50.0, empty +0.0\n(lm-eval --log_samples keeps" in text


def test_answers_of_a_former_run_are_not_shown(tmp_path, caplog):
    alpaca = save(tmp_path / "alpaca", [0.0, 100.0], ["sun", "rain"])
    (alpaca / "results.json").write_text(json.dumps(content([100.0, 0.0])))  # scored again
    commit = save(tmp_path / "commit", [0.0, 100.0], ["sun", "rain"])
    text = comparison.compare(alpaca, commit)
    assert "f1 +100.0" in text and "sun" not in text
    samples = results.samples_path(alpaca / "results.json", "ogx_xquad_hi")
    assert f"{samples}: holds other answers than those that {alpaca}" in caplog.text


def test_what_else_differs_is_said(tmp_path):
    alpaca = save(tmp_path / "alpaca", [0.0], config={"tokenizer": "a"})
    commit = save(tmp_path / "commit", [0.0], config={"tokenizer": "b"})
    assert "\n\ntokenizer: a and b.\n\n" in comparison.compare(alpaca, commit)


@pytest.mark.parametrize(
    "other, message",
    [
        (content([1.0, 2.0]), "ogx_xquad_hi: questions 2 instead of 1; compare runs on the same"),
        (content([1.0], prompts={"ogx_xquad_hi": "b"}), "ogx_xquad_hi: prompts b instead of a; "),
        ({"results": {"t": {"f1,none": 1.0}}}, "no task in common with scores of each question"),
    ],
)
def test_runs_that_cannot_be_compared(tmp_path, other, message):
    first = save(tmp_path / "a", [1.0], prompts={"ogx_xquad_hi": "a"})
    (tmp_path / "b.json").write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(errors.InputError, match=message):
        comparison.compare(first, tmp_path / "b.json")


def test_metrics_that_some_tasks_have(tmp_path):
    scores = {"ogx_text_hi": {"bits_per_byte": [1.25]}, "ogx_xquad_hi": {"f1": [5.0]}}
    first, second = (save(tmp_path / name, [5.0], sample_scores=scores) for name in "ab")
    text = comparison.compare(first, second, ["bits_per_byte"])
    row = next(line for line in text.splitlines() if "bits_per_byte" in line)
    assert row.split("|")[2].strip() == "1.250" and "f1" not in text
    with pytest.raises(errors.InputError, match="metric 'f2': not in the results"):
        comparison.compare(first, second, ["f2"])


def test_a_task_that_only_one_has_is_named(tmp_path):
    scores = {"ogx_text_hi": {"bits_per_byte": [1.25]}, "ogx_xquad_hi": {"f1": [5.0]}}
    first = save(tmp_path / "a", [5.0], sample_scores=scores)
    second = save(tmp_path / "b", [5.0])
    for pair in ((first, second), (second, first)):
        assert "\n\nOnly one of them has ogx_text_hi.\n" in comparison.compare(*pair)


def test_one_result_file_each(tmp_path):
    save(tmp_path / "a", [1.0])
    save(tmp_path / "b", [1.0])
    with pytest.raises(errors.InputError, match="holds 2 result files; name one of them"):
        comparison.compare(tmp_path, tmp_path / "b")


def test_runs_with_several_seeds(tmp_path):
    alpaca = save(tmp_path / "alpaca", [0.0, 100.0, 50.0], ["sun", "rain", "a rain"])
    for run, scores in (("commit", [100.0, 100.0, 50.0]), ("other", [60.0, 100.0, 50.0])):
        folder = save(tmp_path / run, scores, [f"rain of {run}", "rain", "a rain"])
        for path in folder.iterdir():
            name = path.name.replace("results", "seed_0" if run == "commit" else "seed_1")
            path.rename(tmp_path / "commit" / name)
    text = comparison.compare(alpaca, tmp_path / "commit")
    assert "| f1         |     50.0 |     76.7 |        +26.7 | +0.0 to +80.0   |" in text
    assert "- question 1: f1 +80.0" in text
    assert "seeds" not in text
    assert "  - alpaca: sun\n  - commit, seed 0: rain of commit" in text
    text = comparison.compare(alpaca, tmp_path / "commit" / "seed_1.json")
    assert "seed 1: rain of other" in text and "rain of commit" not in text


def test_the_spread_of_seeds_widens_the_interval():
    questions = np.random.default_rng(4).normal(50, 10, 200)
    [one] = comparison.differences(content(questions), content(questions + 3), "ogx_xquad_hi")
    assert (one.low, one.high) == (3.0, 3.0)
    seeds = content(questions)
    seeds["sample_scores"]["ogx_xquad_hi"] = {"f1": [questions - 7, questions + 13]}
    [two] = comparison.differences(content(questions), seeds, "ogx_xquad_hi")
    assert two.second - two.first == pytest.approx(3.0)
    assert (two.low, two.high) == (-7.0, 13.0)
    assert two.p == pytest.approx(0.5, abs=0.05)  # a quarter of the draws is twice the worse seed
