import shutil

import pytest
import seqio
from source_files import ANSWERED, squad, write

from commit_t5x import resources, tasks
from commit_t5x.errors import InputError
from commit_t5x.tasks import families, names


@pytest.fixture
def language():
    """A language of which nothing is registered, and nothing will be afterwards."""
    code = "qya_Test"
    yield code
    for family, (_, languages) in families.FAMILIES.items():
        if languages is None:
            seqio.TaskRegistry.remove(families.name(family, code))
            seqio.MixtureRegistry.remove(families.name(family, code))


def registered():
    return {*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()}


@pytest.mark.parametrize("family", ["alpaca_codemix", "commit_mix"])
def test_naming_a_task_registers_it(language, family):
    name = families.name(family, language)
    assert name not in registered()
    assert names.task_name(family, language) == name
    task = seqio.get_mixture_or_task(name)
    assert task.name == name == names.task_name(family, language)
    assert seqio.get_mixture_or_task(name) is task


def test_a_registered_language_has_all_its_tasks(language):
    before = registered()
    tasks.register_language(language)
    tasks.register_language(language)
    assert registered() - before == {
        families.name(family, language)
        for family, (_, languages) in families.FAMILIES.items()
        if languages is None
    }


def test_other_names_register_nothing():
    before = registered()
    for name in ("none_of_ours", "alpaca_en", "wikipedia_", "wikipedia_Hindi"):
        names.register_named(name)
    assert names.task_name("alpaca", "anything") == "alpaca_en"
    assert registered() == before


def test_a_language_without_dictionary_is_named_when_the_task_is_built(language, samples):
    task = seqio.get_mixture_or_task(names.task_name("alpaca_codemix", language))
    with pytest.raises(InputError, match=f"en-{language}"):
        task.get_dataset(None, split="train")


def test_a_dictionary_of_ones_own_is_enough(language, samples, locate, bind, tmp_path):
    (tmp_path / f"{language}-en.txt").write_text("ilya all\nelen star\n")
    (tmp_path / f"wikipedia.{language}.txt").write_text("ilya elen\n\nelen")
    locate(wikipedia=tmp_path)
    bind("load_dictionary.directory", str(tmp_path))
    bind("make_mixer.ratio", 1.0)
    texts = {}
    for family in ("wikipedia", "wikipedia_codemix"):
        task = seqio.get_mixture_or_task(names.task_name(family, language))
        ds = task.get_dataset(None, split="train", shuffle=False, seed=0)
        vocabulary = task.output_features["targets"].vocabulary
        texts[family] = [vocabulary.decode(e["targets"].tolist()) for e in ds.as_numpy_iterator()]
    assert texts == {"wikipedia": ["ilya elen", "elen"], "wikipedia_codemix": ["all star", "star"]}


def test_questions_and_labels_of_ones_own_are_enough(language, samples, locate, bind, tmp_path):
    question = {**ANSWERED, "question": "man?"}
    write(tmp_path / f"xquad.{language}.json", squad(question))
    labels = 'background = "Nóla:"\nquestion = "Maquet:"\nanswer = "Danquet:"\n'
    write(tmp_path / "labels.toml", f"[{language}]\n{labels}")
    locate(xquad=tmp_path)
    bind("get_labels.path", str(tmp_path / "labels.toml"))
    prompts = []
    for family in ("xquad", "xquad_en"):
        task = seqio.get_mixture_or_task(names.task_name(family, language))
        [row] = task.get_dataset(None, split="validation").as_numpy_iterator()
        prompts.append(row["inputs_pretokenized"].decode())
    own, english = prompts
    assert own == f"Nóla:\n\n{ANSWERED['context']}\n\nMaquet:man?\n\nDanquet:"
    assert english.endswith("Question:man?\n\nAnswer:")


def test_a_language_without_labels_is_named_when_the_task_is_built(
    language, samples, locate, tmp_path
):
    place = tmp_path / f"xquad.{language}.json"
    locate(xquad=shutil.copy(resources.path("samples") / "xquad.hi.json", place))
    task = seqio.get_mixture_or_task(names.task_name("xquad", language))
    with pytest.raises(InputError, match=f"labels: none for language '{language}', but for ar, "):
        task.get_dataset(None, split="validation")
