import dataclasses

import pytest
import seqio

from commit_t5x import resources
from commit_t5x.data.feature_converters import DecoderFeatureConverter
from commit_t5x.engine import data, utils
from commit_t5x.inspection.runs import inspect_data
from commit_t5x.vocabularies import configured

LENGTH = 128
CFG = utils.DatasetConfig(
    "alpaca_codemix_hi",
    {"inputs": LENGTH, "targets": LENGTH, "row": LENGTH},
    split="train",
    batch_size=4,
    seed=5,
)


@pytest.fixture(autouse=True)
def converter_vocabulary(samples, bind):
    bind("DecoderFeatureConverter.vocabulary", configured.get_vocabulary())


@pytest.mark.parametrize("packing", ["segments", "stream"])
def test_examples_a_step_are_those_of_training(bind, packing):
    bind("DecoderFeatureConverter.packing", packing)
    cfg = dataclasses.replace(CFG, mixture_or_task_name="wikipedia_hi")
    report = inspect_data(cfg, num_examples=0).tasks[0].report
    assert report.examples == 40 and report.batch_size == 4
    rows = list(data.get_rows(cfg, DecoderFeatureConverter, num_epochs=1).as_numpy_iterator())
    # The last row is full but in part.
    assert len(rows) - 1 < report.examples / report.examples_per_row <= len(rows)
    assert report.examples_per_step == 4 * report.examples_per_row
    if packing == "stream":
        # Each example brings its BOS.
        stream = report.tokens + report.examples - 1
        assert report.examples / report.examples_per_row == pytest.approx(stream / LENGTH, rel=0.01)
        assert report.row_fill == pytest.approx(1)
    else:
        assert 0.5 < report.row_fill < 1


@pytest.mark.slow
def test_a_mixture_is_reported_on_in_its_proportions():
    seqio.MixtureRegistry.add("three_to_one", [("alpaca_en", 3), ("wikipedia_hi", 1)])
    cfg = dataclasses.replace(CFG, mixture_or_task_name="three_to_one")
    alpaca, wikipedia = inspect_data(cfg, num_examples=2, report_examples=40).tasks
    assert (alpaca.name, alpaca.share) == ("alpaca_en", 0.75)
    assert (wikipedia.name, wikipedia.share) == ("wikipedia_hi", 0.25)
    assert (alpaca.report.examples, wikipedia.report.examples) == (30, 10)
    # They share the rows, also where the data of one of them end before.
    assert alpaca.report.examples_per_row == 3 * wikipedia.report.examples_per_row
    short, _ = inspect_data(cfg, num_examples=0, report_examples=400).tasks
    assert short.report.examples == 200 < 300
    assert short.report.examples_per_row == pytest.approx(alpaca.report.examples_per_row, rel=0.2)
    assert [example.index for example in wikipedia.examples] == [0, 1]


def test_parts_of_documents_are_what_a_mixture_is_made_of(tmp_path, bind):
    # Each document is split into several rows, and each of these is one of the task's turns.
    sentence = resources.path("samples").joinpath("wikipedia.hi.txt").read_text().split("\n\n")[0]
    document = " ".join([sentence] * (3 * CFG.task_feature_lengths["row"] // 20))
    (tmp_path / "hi.txt").write_text("\n\n".join([document] * 9))
    bind("Locations.wikipedia", str(tmp_path))
    seqio.MixtureRegistry.add("with_long_ones", [("alpaca_en", 3), ("wikipedia_hi", 1)])
    cfg = dataclasses.replace(CFG, mixture_or_task_name="with_long_ones")
    alpaca, wikipedia = inspect_data(cfg, num_examples=0, report_examples=40).tasks
    rows = sum(example.rows for example in inspect_data(cfg, num_examples=9).tasks[1].examples)
    assert rows > 27
    parts = wikipedia.report.examples_per_row * rows / 9
    assert alpaca.report.examples_per_row == pytest.approx(3 * parts)


def test_what_is_asked_for_is_shown():
    cfg = dataclasses.replace(CFG, mixture_or_task_name="xquad_hi", split="validation")
    got = inspect_data(cfg, num_examples=2, report_examples=5, start=3)
    [task] = got.tasks
    assert [example.index for example in task.examples] == [3, 4]
    assert task.report.examples == 5
    # Questions aren't packed, and no row is too short for them.
    assert got.row_length is task.report.examples_per_row is None
    assert got.to_json()["tasks"]["xquad_hi"]["examples"] == 5
    assert inspect_data(cfg, num_examples=1, report_examples=0).tasks[0].report is None
