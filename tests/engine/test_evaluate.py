import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
import small_llama
import tiny

from commit_t5x.engine import checkpoints, eval, infer, train, train_state, utils
from commit_t5x.errors import InputError
from commit_t5x.model import llama

CONFIG = dataclasses.replace(
    small_llama.CONFIG, vocab_size=tiny.VOCAB_SIZE, num_layers=1, max_length=64
)


@functools.cache
def _model():
    return tiny.model(llama.Llama(CONFIG), optimizer_def=None)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A model directory with random weights."""
    model_dir = tmp_path_factory.mktemp("weights")
    initializer = train_state.TrainStateInitializer(_model(), tiny.partitioner())
    params = jax.device_get(initializer.init_params(jax.random.PRNGKey(1)))
    # Larger ones, so that the likeliest token depends on the prompt.
    params = jax.tree.map(lambda leaf: leaf * 4, params)
    checkpoints.save_params(model_dir, params, CONFIG, None)
    return model_dir


def _common(checkpoint, **options):
    return {
        "model": _model(),
        "restore_checkpoint_cfg": utils.RestoreCheckpointConfig(str(checkpoint)),
        "partitioner": tiny.partitioner(),
        "summarize_config_fn": lambda model_dir, writer, step: None,
        **options,
    }


def test_evaluate_writes_loss_and_scores(tmp_path, checkpoint):
    results = eval.evaluate(
        **_common(checkpoint),
        dataset_cfg=tiny.dataset_config(
            "tiny_questions", split="validation", pack=False, task_feature_lengths=None
        ),
        inference_evaluator_cls=functools.partial(eval.InferenceEvaluator, max_new_tokens=4),
        output_dir=str(tmp_path),
    )
    report = json.loads((tmp_path / "results.json").read_text())
    assert report["results"] == results
    assert report["checkpoint"] == str(checkpoint / "checkpoint_0")
    scores = results["tiny_questions"]
    assert scores["loss"] > 0 and 0 <= scores["exact_match"] <= 1
    answers = [json.loads(line) for line in (tmp_path / "tiny_questions.jsonl").open()]
    assert report["answered"] == {"tiny_questions": len(answers)} == {"tiny_questions": 5}
    assert answers[0].keys() == {"prompt", "prediction", "target"}
    assert scores["exact_match"] == np.mean([a["prediction"] == a["target"] for a in answers])
    # Five targets, each of its own length.
    assert scores["loss_tokens"] == sum(len(answer["target"]) for answer in answers)


def test_evaluate_without_questions_gives_the_loss_only(tmp_path, checkpoint):
    results = eval.evaluate(
        **_common(checkpoint),
        dataset_cfg=tiny.dataset_config(split="validation", shuffle=False, pack=False),
        output_dir=str(tmp_path),
    )
    assert results["tiny_train"].keys() == {"loss", "z_loss", "accuracy", "loss_tokens"}


def test_inference_on_a_task_without_questions_is_an_error():
    with pytest.raises(InputError, match="tiny_train: has no inputs to answer or no metric"):
        eval.InferenceEvaluator(tiny.dataset_config(), _model(), tiny.partitioner())


def test_infer_continues_a_tasks_inputs(tmp_path, checkpoint):
    cfg = tiny.dataset_config("tiny_questions", split="validation", task_feature_lengths=None)
    lines = infer.infer(
        **_common(checkpoint),
        dataset_cfg=cfg,
        task_prompts=eval.task_prompts,
        output_dir=str(tmp_path),
        num_examples=3,
        max_new_tokens=4,
    )
    assert len(lines) == 3
    assert (tmp_path / "tiny_questions.jsonl").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"question": "?"}\n', r"prompts\.jsonl:1: no text in a field prompt"), ("{", "not JSON")],
)
def test_infer_names_the_bad_line(tmp_path, checkpoint, text, message):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(text)
    with pytest.raises(InputError, match=message):
        infer.infer(
            **_common(checkpoint),
            dataset_cfg=tiny.dataset_config(None),
            input_path=str(prompts),
            output_dir=str(tmp_path / "out"),
        )
    assert not (tmp_path / "out").exists()


def test_infer_reads_tasks_only_by_the_file_that_says_so(checkpoint):
    with pytest.raises(InputError, match="give --gin_file=evaluation/infer_task.gin in the place"):
        infer.infer(**_common(checkpoint), dataset_cfg=tiny.dataset_config("tiny_questions"))


@pytest.mark.parametrize(
    ("task", "path", "converse"),
    [(None, None, False), ("tiny_questions", "prompts.txt", False), (None, "prompts.txt", True)],
)
def test_infer_needs_one_kind_of_prompts(tmp_path, checkpoint, task, path, converse):
    expected = "INPUT_PATH, MIXTURE_OR_TASK_NAME: set one of the two, or give --interactive"
    with pytest.raises(InputError, match=expected):
        infer.infer(
            **_common(checkpoint),
            dataset_cfg=tiny.dataset_config(task),
            input_path=path,
            converse=converse,
            output_dir=str(tmp_path),
        )


@pytest.mark.slow
def test_answers_during_training(tmp_path):
    train.train(
        model=tiny.model(llama.Llama(CONFIG)),
        partitioner=tiny.partitioner(),
        summarize_config_fn=lambda model_dir, writer, step: None,
        train_dataset_cfg=tiny.dataset_config(),
        infer_eval_dataset_cfg=tiny.dataset_config(
            "tiny_questions", split="validation", task_feature_lengths=None
        ),
        inference_evaluator_cls=functools.partial(
            eval.InferenceEvaluator, max_new_tokens=4, num_examples=3
        ),
        checkpoint_cfg=utils.CheckpointConfig(),
        model_dir=str(tmp_path),
        total_steps=5,
        eval_period=1,
        infer_eval_period=2,
    )
    name = "inference_eval/tiny_questions"
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    scores = [line for line in lines if line["name"] == name]
    assert [line["step"] for line in scores] == [2, 4, 5]
    assert all(0 <= line["exact_match"] <= 1 for line in scores)
    answers = tmp_path / name / "answers_5.jsonl"
    assert len(answers.read_text().splitlines()) == 3
