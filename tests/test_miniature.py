"""The constructed world of benchmarks/miniature: its languages, its files and what they promise."""

import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys

import gin
import pretrain
import pytest
import tokenizer
import wordlists
import world

from commit_t5x.data import sources
from commit_t5x.engine import data, gin_utils
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.tasks import families

SIZES = {"pretraining_documents": 200, "examples": 200, "documents": 20, "questions": 40}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("world")
    world.write(path, world.World(seed=0), **SIZES)
    return path


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_seed_fixes_every_file(folder, tmp_path):
    world.write(tmp_path / "again", world.World(seed=0), **SIZES)
    world.write(tmp_path / "other", world.World(seed=1), **SIZES)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 8
    for name in names:
        text = (folder / name).read_bytes()
        assert text == (tmp_path / "again" / name).read_bytes(), name
        assert text != (tmp_path / "other" / name).read_bytes(), name


def test_the_languages_share_names_alone(folder):
    made = world.World(seed=0)
    targets = collections.Counter(made.translations.values())
    assert not set(targets) & {word.lower() for word in made.translations}
    # Only forms of one word share a translation, so that no answer becomes another one's.
    answers = [made.translations[word] for words in wordlists.WORDS.values() for word in words]
    assert len(set(answers)) == len(answers)
    english = {word.lower() for word in made.translations}
    for line in (folder / "wikipedia.qaa.txt").read_text().split("\n\n"):
        assert not set(line.lower().replace(".", "").split()) & english


def test_questions_are_the_same_in_both_languages(folder):
    english, target = (
        list(sources.squad_examples(folder / f"xquad.{language}.json"))
        for language in ("en", "qaa")
    )
    made = world.World(seed=0)
    assert [row["id"] for row in english] == [row["id"] for row in target]
    assert len(english) == SIZES["questions"]
    for one, other in zip(english, target, strict=True):
        for row in (one, other):
            assert row["context"].count(row["answers"][0]) == 1  # no other fact has the answer
        # A known word by its translation, in reverse order; a name by itself.
        words = [made.translations.get(word, word) for word in one["answers"][0].split()]
        assert " ".join(reversed(words)) == other["answers"][0]


def test_the_dictionaries_know_what_relations_are_said_with_and_a_share_of_the_rest(folder):
    made = world.World(seed=0)
    lexicon = Lexicon.load(folder / "en-qaa.txt")
    back = Lexicon.load(folder / "qaa-en.txt")
    content = [word.lower() for words in wordlists.WORDS.values() for word in words]
    for word, target in made.translations.items():
        if word not in sum(map(list, wordlists.WORDS.values()), []):
            assert lexicon.translations(word) == (target,)
        if lexicon.translations(word.lower()):
            assert word.lower() in back.translations(target)
    known = sum(bool(lexicon.translations(word)) for word in content)
    assert known == round(0.85 * len(content))
    complete = world.World(seed=0, coverage=1.0)
    assert len(complete.known) == len(complete.translations)
    assert complete.translations == made.translations  # another coverage, the same language


def test_a_mixed_document_says_what_the_target_language_says(folder):
    """In note form word for word, but for order."""
    made = world.World(seed=0, coverage=1.0)
    pairs = [(word.lower(), made.translations[word]) for word in made.known]
    lexicon = Lexicon.from_pairs(pairs).with_case_variants("en", "qaa")
    mixer = CodeMixer(lexicon, ratio=1.0)
    for _, document in zip(range(20), made.documents("test"), strict=False):
        notes = world.note_form(made.text(document, "en"))
        mixed = mixer.mix(notes, seed=(0, 0)).lower()
        words = collections.Counter(mixed.replace(".", "").split())
        told = collections.Counter(made.text(document, "qaa").lower().replace(".", "").split())
        assert words == told


def test_note_form_is_without_what_has_no_translation():
    made = world.World(seed=0)
    wordings = [r.question[0] for r in wordlists.RELATIONS]
    wordings += [wording for r in wordlists.RELATIONS for wording, _ in r.wordings]
    said = {word.lower() for text in wordings for word in text.strip("?").split()} - {"{}"}
    assert said - set(made.translations) == set(wordlists.LEFT_IN_ENGLISH)
    assert world.note_form("Where was Rasel born?") == "Where Rasel born?"


def test_half_of_the_notes_are_notes(folder):
    plain, notes = records(folder / "alpaca.jsonl"), records(folder / "alpaca_notes.jsonl")
    changed = 0
    for one, other in zip(plain, notes, strict=True):
        shorter = {name: world.note_form(text) for name, text in one.items()}
        for name, text in other.items():
            assert text in (one[name], shorter[name])
        changed += one != other
    assert 0.3 < changed / len(plain) < 0.6


def test_documents_say_some_things_twice(folder):
    made = world.World(seed=0)
    documents = (folder / "wikipedia.qaa.txt").read_text().strip().split("\n\n")
    assert len(documents) == SIZES["documents"]
    longer = 0
    for text, document in zip(documents, made.documents("wikipedia"), strict=False):
        once = made.text(document, "qaa")
        assert text.startswith(once)
        assert all(again.strip(" .") in once for again in text[len(once) :].split(". "))
        longer += text != once
    assert longer > len(documents) / 2


@pytest.mark.parametrize("name", ["alpaca.jsonl", "alpaca_notes.jsonl"])
def test_instructions_are_english_and_their_outputs_begin_with_a_space(folder, name):
    rows = records(folder / name)
    assert len(rows) == SIZES["examples"]
    targets = set(world.World(seed=0).translations.values())
    about_texts = 0
    for row in rows:
        assert set(row) == {"instruction", "input", "output"}
        assert row["output"][0] == " " and row["output"].strip() == row["output"][1:]
        assert not targets & set(" ".join(row.values()).split())
        about_texts += row["output"].strip() in row["instruction"] + row["input"]
    assert about_texts > 0.8 * len(rows)


def test_the_base_reads_the_target_language_but_no_question_in_it(folder):
    made = world.World(seed=0)
    asking = {made.translations[word] for word in ("where", "which", "what", "who", "when")}
    rows = records(folder / "pretraining.jsonl")
    of_target = 0
    for row in rows:
        words = row["text"].lower().replace(".", "").split()
        assert not asking & set(words)
        of_target += bool(set(words) & set(made.translations.values()))
        for start, end in row["answers"]:
            for part in row["text"][start:end].strip().split(". "):
                assert part.strip(".") in row["text"][:start]  # what stands before tells it
    assert 0.1 < of_target / len(rows) < 0.2


def test_some_questions_stand_in_the_template_if_asked_for():
    made = world.World(seed=0)
    plain, rows = (list(world.pretraining(made, 200, share)) for share in (0.0, 0.5))
    assert not any("### Response:" in row["text"] for row in plain)
    in_template = [row for row in rows if "### Response:" in row["text"]]
    assert 60 < len(in_template) < 110  # of 200 x 0.85 x 0.85 with questions
    for row in in_template:
        ((start, end),) = row["answers"]
        assert row["text"].endswith(":" + row["text"][start:end]) and end == len(row["text"])
        assert row["text"][start:end] in row["text"][:start]


def test_no_text_is_held_by_two_files(folder):
    made = world.World(seed=0)
    asked = {row["context"] for row in sources.squad_examples(folder / "xquad.en.json")}
    for purpose in ("alpaca", "pretraining", "wikipedia"):
        documents = zip(range(200), made.documents(purpose), strict=False)
        assert not asked & {made.text(document, "en") for _, document in documents}


def test_the_language_has_tasks():
    assert families.name("alpaca_codemix", world.LANGUAGE) == "alpaca_codemix_qaa"


def test_the_base_is_what_its_page_says_and_weighs_answers_fivefold(folder, tmp_path):
    tokenizer.train(folder, tmp_path / "tokenizer.model", vocab_size=700)
    macros = {"MODEL_DIR": "out", "TOKENIZER": f"{tmp_path}/tokenizer.model"}
    macros["WIKIPEDIA_PATH"] = f"{folder}/pretraining.jsonl"
    try:
        gin_utils.load(
            [str(pathlib.Path(pretrain.__file__).with_name("base.gin"))],
            [f"{name} = {value!r}" for name, value in macros.items()],
        )
        arguments = gin.get_bindings("commit_t5x.engine.train.train", resolve_references=True)
        model, cfg = arguments["model"], arguments["train_dataset_cfg"]
        rows = data.get_rows(cfg, model.FEATURE_CONVERTER_CLS, num_epochs=1)
        rows = list(rows.as_numpy_iterator())
    finally:
        gin.clear_config()
    assert model.module.config.num_parameters == 438_048
    heavy, record = [], [r for r in records(folder / "pretraining.jsonl") if r["answers"]]
    for row in rows:
        assert set(row["decoder_loss_weights"]) <= {0, 1, 5}
        assert max(row["decoder_target_tokens"]) < 700 > max(row["decoder_input_tokens"])
        heavy += row["decoder_target_tokens"][row["decoder_loss_weights"] == 5].tolist()
    text = model.vocabulary.decode(heavy)
    spans = [r["text"][start:end].strip() for r in record for start, end in r["answers"]]
    assert len(spans) > 100
    for span in spans:
        assert span in text


def test_the_shipped_base_is_the_documented_one():
    base = pathlib.Path(pretrain.__file__).with_name("base")
    assert sum(path.stat().st_size for path in base.iterdir()) < 3_000_000
    config = LlamaConfig.from_hf(json.loads((base / "config.json").read_text()))
    assert config.num_parameters == 438_048


@pytest.mark.slow
def test_commit_answers_in_a_language_that_alpaca_does_not(tmp_path):
    """The method's effect by the ordinary commands: docs/miniature.md has the figures."""
    world.write(tmp_path / "miniature_out" / "world", world.World(seed=0))
    base = pathlib.Path(world.__file__).parent / "base"
    scoring = "--batch_size 50 --gen_kwargs max_gen_toks=16"
    arguments = f"--rows alpaca,commit --seeds 0,1 --out table --jobs 2 {scoring}"
    for command in (
        ["convert", "--to", "native", str(base), "miniature_out/base"],
        ["table", "miniature", *arguments.split()],
    ):
        run = subprocess.run(
            [sys.executable, "-m", "commit_t5x.cli", *command],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            # Whole trainings: with the programs that users have, not with those of tests.
            env={name: value for name, value in os.environ.items() if name != "XLA_FLAGS"},
        )
        assert run.returncode == 0, run.stderr

    def exact(row, task):
        files = (tmp_path / "table" / "results" / row).glob("seed_*.json")
        results = [json.loads(path.read_text())["results"][task] for path in files]
        return statistics.mean(result["exact_match,none"] for result in results)

    assert exact("alpaca", "ogx_xquad_en") > 85
    assert exact("alpaca", "ogx_xquad_enqaa") < 10
    assert exact("commit", "ogx_xquad_enqaa") > exact("alpaca", "ogx_xquad_enqaa") + 20
