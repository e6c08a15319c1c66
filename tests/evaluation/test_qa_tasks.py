import datasets
import pytest
from lm_eval.tasks import manager
from source_files import write_squad

from commit_t5x import errors, resources
from commit_t5x.data import qa_prompts
from commit_t5x.evaluation import qa_tasks

XQUAD_LANGUAGES = "ar de el en es hi ro ru th tr vi zh".split()
MLQA_LANGUAGES = "ar de en es hi vi zh".split()
XQUAD = {  # task: language of the text, of the labels
    **{f"ogx_xquad_{code}": (code, code) for code in XQUAD_LANGUAGES},
    **{f"ogx_xquad_en{code}": (code, "en") for code in XQUAD_LANGUAGES if code != "en"},
}
MLQA = {  # task: language of the text, of the labels, file
    **{f"ogx_mlqa_{code}": (code, code, "test") for code in MLQA_LANGUAGES},
    **{f"ogx_mlqa_en{code}": (code, "en", "test") for code in MLQA_LANGUAGES if code != "en"},
    "ogx_mlqa_hival": ("hi", "hi", "dev"),
    "ogx_mlqa_enhival": ("hi", "en", "dev"),
}


def load(task, data_dir):
    """Loads a task as the plain lm_eval command does with --include_path and --metadata."""
    tasks = manager.TaskManager(
        include_path=resources.path("tasks") / "lm_eval",
        include_defaults=False,
        # lm_eval adds the model's arguments to the metadata.
        metadata={"data_dir": str(data_dir), "pretrained": "x", "dtype": "float32"},
    )
    return tasks.load([task])["tasks"][task]


def test_all_tasks_are_there():
    index = manager.TaskManager(
        include_path=resources.path("tasks") / "lm_eval", include_defaults=False
    )
    assert set(index.all_subtasks) == {*XQUAD, *MLQA}
    assert index.all_tags == ["ogx_mlqa", "ogx_xquad"]


@pytest.mark.parametrize("task", XQUAD)
def test_xquad_task(task, tmp_path):
    language, labels = XQUAD[task]
    write_squad(tmp_path / f"xquad.{language}.json", ("Q?", ["red", "b"]), context="red b")
    loaded = load(task, tmp_path)
    [doc] = loaded.eval_docs
    assert doc["id"] == "q0"
    assert loaded.doc_to_text(doc) == prompt("xquad", labels, "red b", "Q?")
    assert loaded.doc_to_target(doc) == ["red", "b"]
    assert official(loaded, "The B") == {"exact_match": 100.0, "f1": 100.0}
    assert official(loaded, "") == {"exact_match": 0.0, "f1": 0.0}
    assert_zero_shot_greedy(loaded)


@pytest.mark.parametrize("task", MLQA)
def test_mlqa_task(task, tmp_path):
    language, labels, split = MLQA[task]
    name = f"{split}-context-{language}-question-{language}.json"
    write_squad(tmp_path / "MLQA_V1" / split / name, ("Q?", ["a।b"]), context="a।b")
    loaded = load(task, tmp_path)
    [doc] = loaded.eval_docs
    assert loaded.doc_to_text(doc) == prompt("mlqa", labels, "a।b", "Q?")
    assert official(loaded, "ab") == {"exact_match": 100.0, "f1": 100.0}
    assert_zero_shot_greedy(loaded)


def prompt(family, label_language, context, question):
    return qa_prompts.qa_prompt(family, qa_prompts.get_labels(label_language), context, question)


def official(task, answer):
    """Returns EM and F1 of an answer to a task's one question."""
    [doc] = task.eval_docs
    scores = task.process_results(doc, [answer])
    return {name: scores[name] for name in ("exact_match", "f1")}


def assert_zero_shot_greedy(task):
    assert task.get_config("num_fewshot") is None
    assert task.get_config("output_type") == "generate_until"
    assert task.get_config("generation_kwargs") == {
        "until": ["\n"],
        "do_sample": False,
        "max_gen_toks": 256,
    }


def test_mlqa_is_scored_in_its_language(tmp_path):
    for language, expected in (("de", 100.0), ("es", 0.0)):
        file = tmp_path / f"test-context-{language}-question-{language}.json"
        write_squad(file, ("Q", ["die Stadt"]), context="die Stadt")
        loaded = load(f"ogx_mlqa_{language}", tmp_path)
        assert official(loaded, "Stadt")["exact_match"] == expected


def test_data_dir_may_be_a_file_or_the_samples(tmp_path):
    file = write_squad(tmp_path / "mine.json", ("Q", ["a"]), context="a")
    rows = qa_tasks.load_xquad(language="hi", label_language="en", data_dir=str(file))
    assert rows["validation"]["prompt"] == [prompt("xquad", "en", "a", "Q")]
    samples = qa_tasks.load_xquad(language="th", label_language="th", data_dir="samples")
    assert len(samples["validation"]) >= 20


def test_missing_file_names_file_and_flag(tmp_path):
    with pytest.raises(errors.InputError) as error:
        load("ogx_xquad_hi", tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/xquad.hi.json: no such file; put the official xquad.hi.json there, "
        "or point --data-dir elsewhere"
    )


def test_no_network_names_file_and_flag(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("Couldn't reach the hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(errors.InputError) as error:
        qa_tasks.load_mlqa(language="hi", label_language="hi", split="validation")
    message = str(error.value)
    assert "facebook/mlqa" in message
    assert message.endswith("pass the folder with dev-context-hi-question-hi.json as --data-dir")
    assert "\n" not in message


def test_rows_from_the_hub(monkeypatch):
    asked = []

    def hub(*args, **kwargs):
        asked.append((args, kwargs))
        answers = {"text": ["a"], "start": [0]}
        row = {"id": "1", "context": "a", "question": "Q", "answers": answers}
        return datasets.Dataset.from_list([row])

    monkeypatch.setattr(datasets, "load_dataset", hub)
    rows = qa_tasks.load_xquad(language="hi", label_language="hi")["validation"]
    assert asked == [(("google/xquad", "xquad.hi"), {"split": "validation"})]
    assert rows["answers"] == [["a"]]


def test_no_questions(tmp_path):
    (tmp_path / "xquad.hi.json").write_text('{"data": []}', encoding="utf-8")
    with pytest.raises(errors.InputError, match="xquad.hi.json: holds no questions; put the offic"):
        qa_tasks.load_xquad(language="hi", label_language="hi", data_dir=str(tmp_path))


def test_question_without_answers(tmp_path):
    file = write_squad(tmp_path / "xquad.hi.json", ("Q", ["a"]), ("R", []), context="a")
    with pytest.raises(errors.InputError, match="xquad.hi.json: question q1 has no answers"):
        qa_tasks.load_xquad(language="hi", label_language="hi", data_dir=str(file))


def test_empty_answers_and_texts(tmp_path):
    file = write_squad(tmp_path / "xquad.hi.json", ("Q", ["a", " "]), context="a")
    with pytest.raises(errors.InputError, match="xquad.hi.json: question q0: an answer is empty"):
        qa_tasks.load_xquad(language="hi", label_language="hi", data_dir=str(file))
    (tmp_path / "hi.jsonl").write_text('{"text": "a"}\n{"text": ""}\n', encoding="utf-8")
    with pytest.raises(errors.InputError, match="hi.jsonl: document 2 is empty; take it out"):
        qa_tasks.load_text(language="hi", data_dir=str(tmp_path / "hi.jsonl"))
