import sys
import time

import gin
import numpy as np
import pytest
import seqio
import tensorflow as tf
import tiny

from commit_t5x.engine import data, providers
from commit_t5x.errors import InputError

CONVERTER = tiny.model().FEATURE_CONVERTER_CLS
CFG = tiny.dataset_config()
TASKS = [("tiny_train", 5.0), ("tiny_generator", 1.0)]


def _take(iterator, count):
    return [next(iterator) for _ in range(count)]


@pytest.fixture(scope="module")
def first_batches():
    return _take(data.TrainIterator(CFG, CONVERTER), 3)


def _assert_same(a, b):
    for left, right in zip(a, b, strict=True):
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])


@pytest.mark.parametrize("task", ["tiny_train", "tiny_generator"])
@pytest.mark.parametrize("pack", [True, False])
def test_position_is_restored_exactly(tmp_path, task, pack):
    cfg = tiny.dataset_config(task, pack=pack)
    iterator = data.TrainIterator(cfg, CONVERTER)
    _take(iterator, 7)
    iterator.save(tmp_path)
    # tf.data can't serialise a Python generator; the position is then a number of batches.
    assert bool(list(tmp_path.glob("iterator.*"))) == (task == "tiny_train")
    expected = _take(iterator, 20)  # beyond the end of an epoch
    iterator.restore(tmp_path)  # which builds the pipeline anew
    _assert_same(_take(iterator, 20), expected)
    assert iterator.batches == 27


def test_unreadable_iterator_state_is_replaced_by_reading_again(tmp_path):
    iterator = data.TrainIterator(CFG, CONVERTER)
    _take(iterator, 3)
    iterator.save(tmp_path)
    next(tmp_path.glob("iterator.data-*")).write_bytes(b"")
    expected = _take(iterator, 3)
    iterator.restore(tmp_path)
    _assert_same(_take(iterator, 3), expected)


def test_tf_data_does_not_tune_itself():
    """Now and then its thread, asleep for up to a minute, isn't woken when a run ends."""
    rows = data._ahead(tf.data.Dataset.range(9))
    assert rows.options().autotune.enabled is False
    assert list(rows.as_numpy_iterator()) == [*range(9)]


def test_time_that_batches_take_to_come_is_counted():
    iterator = data.TrainIterator(CFG, CONVERTER)
    start = time.perf_counter()
    _take(iterator, 3)
    assert 0 < iterator.seconds_waited < time.perf_counter() - start


def test_seed_fixes_the_batches(first_batches):
    again, other = (
        _take(data.TrainIterator(tiny.dataset_config(seed=seed), CONVERTER), 3)
        for seed in (CFG.seed, 1)
    )
    _assert_same(first_batches, again)
    assert any(
        not np.array_equal(a["decoder_target_tokens"], b["decoder_target_tokens"])
        for a, b in zip(first_batches, other, strict=True)
    )


def test_evaluation_covers_every_row_once_and_fills_the_last_batch():
    cfg = tiny.dataset_config(split="validation", shuffle=False, pack=False)
    batches = list(data.eval_batches(cfg, CONVERTER))
    assert [count for _, count in batches] == [4, 2]
    assert all(len(batch["decoder_target_tokens"]) == 4 for batch, _ in batches)
    assert not batches[1][0]["decoder_target_tokens"][2:].any()
    assert len(list(data.eval_batches(cfg, CONVERTER, num_batches=1))) == 1


def test_evaluation_of_a_mixture_covers_every_row_of_each_task():
    tasks = [(seqio.TaskRegistry.get(name), rate) for name, rate in TASKS]
    cfg = tiny.dataset_config(seqio.Mixture("uneven", tasks), split="validation", pack=False)
    assert [count for _, count in data.eval_batches(cfg, CONVERTER)] == [4, 4, 4]


def test_lengths_that_hold_every_example():
    cfg = tiny.dataset_config("tiny_questions", split="validation", task_feature_lengths=None)
    lengths = data.longest_features(cfg)
    assert lengths == {"inputs": 16, "targets": 16, "row": 16}


@pytest.fixture
def late_tasks(tmp_path, monkeypatch):
    """A module that registers a task; registries are as before afterwards."""
    (tmp_path / "late_tasks.py").write_text(
        "import seqio, tiny\n"
        "known = seqio.TaskRegistry.get('tiny_train')\n"
        "seqio.TaskRegistry.add('late', known.source, known.output_features, known.preprocessors)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(seqio.TaskRegistry, "_REGISTRY", dict(seqio.TaskRegistry._REGISTRY))
    monkeypatch.delitem(sys.modules, "late_tasks", raising=False)


def test_a_module_registers_the_task(late_tasks, first_batches):
    with pytest.raises(InputError, match="no task or mixture 'late'"):
        data.TrainIterator(tiny.dataset_config("late"), CONVERTER)
    iterator = data.TrainIterator(tiny.dataset_config("late", module="late_tasks"), CONVERTER)
    _assert_same(_take(iterator, 3), first_batches)


def test_a_task_itself_in_place_of_a_name(late_tasks, first_batches, tmp_path):
    providers.get_mixture_or_task(tiny.dataset_config("late", module="late_tasks"))
    task = seqio.TaskRegistry.get("late")
    mixture = seqio.Mixture("both", [(task, 1)])
    seqio.TaskRegistry.remove("late")
    for provider in (task, mixture):
        cfg = tiny.dataset_config(provider)
        assert cfg.name == provider.name
        iterator = data.TrainIterator(cfg, CONVERTER)
        _assert_same(_take(iterator, 3), first_batches)
        iterator.save(tmp_path)
        expected = _take(iterator, 1)
        iterator.restore(tmp_path)
        _assert_same(_take(iterator, 1), expected)


def test_modules_that_cannot_be_imported(tmp_path, monkeypatch):
    def look_up(module):
        providers.get_mixture_or_task(tiny.dataset_config(module=module))

    with pytest.raises(InputError, match="MODULE: no module 'no_such'; install it, or put its"):
        look_up("no_such.tasks")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_more.py").write_text("import no_such_package")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        look_up("needs_more")
    (tmp_path / "configurable.py").write_text("import gin\n@gin.configurable\ndef f(): pass")
    gin.finalize()
    try:
        with pytest.raises(InputError, match="write 'import configurable' in a gin file"):
            look_up("configurable")
    finally:
        gin.clear_config()


def test_unknown_task_is_an_error():
    with pytest.raises(InputError, match="no task or mixture 'tiny_trian'; did you mean tiny_tra"):
        data.TrainIterator(tiny.dataset_config("tiny_trian"), CONVERTER)


def test_unknown_split_is_an_error():
    with pytest.raises(InputError, match="no split 'test'; choose from train, validation"):
        data.TrainIterator(tiny.dataset_config(split="test"), CONVERTER)


def test_error_in_a_tasks_python_code_comes_through():
    iterator = data.TrainIterator(tiny.dataset_config("tiny_broken"), CONVERTER)
    with pytest.raises(InputError, match=r"^data\.jsonl:2: not JSON; mend the line$"):
        next(iterator)


def test_a_sequence_longer_than_its_row_is_told(monkeypatch):
    monkeypatch.setattr(tiny, "_TEXTS", ["red green blue cyan white"])
    iterator = data.TrainIterator(tiny.dataset_config(), CONVERTER)
    with pytest.raises(InputError, match="^tiny_train: sequence longer .*; tokens, row: 1. 16$"):
        next(iterator)
