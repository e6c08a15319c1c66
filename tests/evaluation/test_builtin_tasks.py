"""lm-eval's own tasks, unchanged, on local copies of data sets in the hub's layout."""

import json
import pathlib

import datasets
import lm_eval.tasks
import pytest

from commit_t5x.evaluation import harness, results

BELEBELE = {
    "flores_passage": "दिल्ली में वर्षा होती है।",
    "question": "वर्षा कहाँ होती है?",
    **{f"mc_answer{n}": place for n, place in enumerate(["आगरा", "दिल्ली", "पटना", "मुंबई"], start=1)},
    "correct_answer_num": "2",
    "dialect": "hin_Deva",
}
XCOPA = {
    "premise": "ฝนตก.",
    "choice1": "ถนนเปียก.",
    "choice2": "ถนนแห้ง.",
    "question": "effect",
    "label": 0,
    "idx": 0,
    "changed": False,
}


def card(folder, configuration, **files):
    """Writes the head of a data set's README.md, which names its files."""
    lines = ["---", "configs:", f"- config_name: {configuration}", "  data_files:"]
    for split, path in files.items():
        lines += [f"  - split: {split}", f"    path: {path}"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A working directory that holds Belebele and XCOPA, a few rows of each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    belebele, xcopa = tmp_path / "facebook" / "belebele", tmp_path / "cambridgeltl" / "xcopa"
    (belebele / "data").mkdir(parents=True)
    rows = [json.dumps({**BELEBELE, "question_number": n}) for n in range(3)]
    (belebele / "data" / "hin_Deva.jsonl").write_text("\n".join(rows))
    card(belebele, "hin_Deva", test="data/hin_Deva.jsonl")
    (xcopa / "th").mkdir(parents=True)
    for split in ("validation", "test"):
        rows = datasets.Dataset.from_list([XCOPA] * 2)
        rows.to_parquet(xcopa / "th" / f"{split}-00000-of-00001.parquet")
    card(xcopa, "th", validation="th/validation-*", test="th/test-*")


@pytest.mark.parametrize("task, questions", [("belebele_hin_Deva", 3), ("xcopa_th", 2)])
def test_builtin_task_on_local_files(hub, tiny_model, task, questions):
    found = harness.run(
        tasks=[task],
        model_args=f"pretrained={tiny_model.native}",
        batch_size=4,
        # The command finds it without, by looking through all of lm-eval's tasks.
        include_path=str(pathlib.Path(lm_eval.tasks.__file__).parent / task.split("_")[0]),
        output_path="results.json",
    )
    assert found["n-samples"][task]["effective"] == questions
    [score] = [
        s for (_, _, metric), s in results.load(["results.json"]).scores.items() if metric == "acc"
    ]
    assert score.value in (0.0, 1.0)  # all questions are the same one
