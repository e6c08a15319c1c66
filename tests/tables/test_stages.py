import dataclasses
import json
import shlex

import pytest

from commit_t5x.errors import InputError
from commit_t5x.tables import stages


def names(found):
    return [stage.name for stage in found]


def test_stages_are_shared_and_ordered(table, settings):
    chosen = ["base", "commit", "align", "align_commit"]
    found = stages.build(table, chosen, [0, 1], settings)
    of_seed = [
        *("train-commit-{}", "score-commit-{}", "train-align-{}", "score-align-{}"),
        *("train-align_commit-{}", "score-align_commit-{}"),
    ]
    assert names(found) == ["score-base", *(one.format(n) for n in (0, 1) for one in of_seed)]
    needs = {stage.name: stage.needs for stage in found}
    assert needs["train-align_commit-1"] == ["train-align-1"]
    assert needs["score-align_commit-1"] == ["train-align_commit-1"]
    assert needs["score-base"] == ()


def test_commands_are_those_of_the_other_commands(table, settings):
    found = {one.name: one for one in stages.build(table, ["align_commit"], [7], settings)}
    out = settings.out
    start = out / "models" / "align" / "seed_7" / "checkpoint_4"
    train = found["train-align_commit-7"]
    assert train.command[:4] == [
        *("commit-t5x", "train", "--gin_file=t/align_commit.gin", "--gin_file=models/debug.gin")
    ]
    assert train.command[-3:] == [
        f"--gin.MODEL_DIR='{out}/models/align_commit/seed_7'",
        "--gin.RANDOM_SEED=7",
        f"--gin.INITIAL_CHECKPOINT_PATH='{start}'",
    ]
    assert f"pretrained={train.output}" in found["score-align_commit-7"].command
    assert found["train-align-7"].output == start
    assert train.process()[1:4] == ["-m", "commit_t5x.cli", "train"]


def test_exports_come_on_request(table, settings):
    settings = dataclasses.replace(settings, export=True)
    found = stages.build(table, ["base", "commit"], [0], settings)
    assert names(found)[-1] == "export-commit-0"
    assert found[-1].command[1:4] == ["convert", "--to", "hf"]


def test_a_training_is_done_with_its_last_checkpoint(table, settings):
    train, score = stages.build(table, ["commit"], [0], settings)
    assert (train.done(), train.steps_done()) == (False, 0)
    (train.output.parent / "checkpoint_2").mkdir(parents=True)
    (train.output.parent / "checkpoint_3.orbax-checkpoint-tmp").mkdir()
    assert (train.done(), train.steps_done()) == (False, 2)
    train.output.mkdir()
    assert (train.done(), train.steps_done()) == (True, 4)
    assert not score.done()


@pytest.mark.parametrize(
    "content, done",
    [
        ({}, True),
        ({"results": {"another": {}}}, False),
        ({"config": {"model_args": "pretrained=out/checkpoint_3"}}, False),
        ({"config": {"model_args": "pretrained=checkpoint_4"}}, True),  # by another way
        ({"config": {"model_args": "pretrained=checkpoint_4,dtype=bfloat16"}}, False),
        ({"config": {"model_args": "pretrained=checkpoint_4", "limit": 5}}, False),
        ({"config": {"model_args": "pretrained=checkpoint_4", "data_dir": "other"}}, False),
        ({"config": {"model_args": "pretrained=checkpoint_4", "data_dir": "/of/data"}}, True),
        ({"config": None}, False),
        (None, False),
    ],
)
def test_a_score_is_done_for_its_checkpoint_and_all_tasks(content, done, table, settings):
    settings = dataclasses.replace(settings, scoring={"data_dir": "data"})
    score = stages.build(table, ["commit"], [0], settings)[-1]
    assert "--data_dir=data" in score.command
    config = {"model_args": score.model_args, "data_dir": "data", "limit": None}
    whole = {"results": {"ogx_xquad_hi": {}}, "config": config}
    if (content or {}).get("config"):
        content = {"config": {**config, **content["config"]}}
    score.output.parent.mkdir(parents=True)
    text = "{" if content is None else json.dumps({**whole, **content})
    score.output.write_text(text)
    assert score.done() == done


@pytest.mark.parametrize("word", ["--gin.A='b'", "a b", 'it\'s "so"', "$HOME's", "plain", ""])
def test_a_shell_reads_the_same_words(word):
    assert shlex.split(stages.shell(["commit-t5x", word])) == ["commit-t5x", word]


def test_no_comma_in_what_lm_eval_is_given(table, settings):
    settings = dataclasses.replace(settings, out=settings.out / "hi,el")
    with pytest.raises(InputError, match="hi,el/models/.*: lm-eval takes no comma in a path"):
        stages.build(table, ["commit"], [0], settings)
