"""Every command of the README and the pages: its flags, files and macros exist; the job runs."""

import argparse
import importlib
import json
import pathlib
import re
import shutil

import pages
import pytest

from commit_t5x import cli, resources
from commit_t5x.engine import gin_utils
from commit_t5x.tables import rows

BY_GIN = ("train", "eval", "infer", "inspect", "plan")
RUN_FILES = {"inspect": "runs/inspect.gin", "plan": "runs/plan.gin"}

COMMANDS = [
    pytest.param(words, id=f"{page.name}-{' '.join(words)[:60]}")
    for page in pages.PAGES
    for words in pages.commands(page)
    if "..." not in words  # the rest of a command that stands above
]


def of(*programs):
    return [case for case in COMMANDS if case.values[0][0] in programs]


def flags_and_files(arguments):
    """The gin flags among arguments, and the rest."""
    gin_flags = [word for word in arguments if word.startswith(("--gin_file", "--gin."))]
    return gin_utils.parse_flags(gin_flags), [word for word in arguments if word not in gin_flags]


@pytest.mark.parametrize("words", of("commit-t5x"))
def test_flags_and_macros_exist(words):
    _, command, *arguments = words
    if command in BY_GIN:
        flags, arguments = flags_and_files(arguments)
        if flags.gin_file:
            run_file = [RUN_FILES[command]] if command in RUN_FILES else []
            gin_utils.load([*flags.gin_file, *run_file], flags.gin_bindings)
    module = importlib.import_module(cli.COMMANDS[command][0].partition(":")[0])
    if command == "table":
        args, _ = module.parse(arguments)
        for language in args.language or [None]:
            args.language = language  # each has a table of its own
            rows.read(args.table, module.training_flags(args))
    elif hasattr(module, "add_arguments"):
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        parser.parse_args(arguments)
    else:
        source = pathlib.Path(module.__file__).read_text(encoding="utf-8")
        for flag in filter(re.compile("--").match, arguments):
            name = flag.partition("=")[0]
            assert f'"{name}"' in source or name == "--seqio_additional_cache_dirs"


@pytest.mark.parametrize("words", of("python"))
def test_scripts_and_their_flags_exist(words):
    if words[1].startswith("-"):
        return  # a module: T5X's, which its own tests run
    source = (pages.ROOT / words[1]).read_text(encoding="utf-8")
    for flag in filter(re.compile("--").match, words):
        assert f'"{flag.partition("=")[0]}"' in source


@pytest.mark.parametrize("words", of("make"))
def test_targets_exist(words):
    makefile = (pages.ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words[1:]:
        name, is_variable, _ = word.partition("=")
        assert re.search(rf"^{name} *[:?]?=" if is_variable else rf"^{name}:", makefile, re.M)


def test_pages_link_to_what_exists():
    for page in pages.PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


# In place of a run's size and of what can't be had here; the rest of each command is as written.
SMALL = [
    *("--gin_file=models/debug.gin", "--gin.VOCAB_SIZE=3072", "--gin.NUM_PARTITIONS=1"),
    *("--gin.TRAIN_STEPS=2", "--gin.WARMUP_STEPS=1", "--gin.BATCH_SIZE=2"),
    *("--gin.SEQUENCE_LENGTH=64", "--gin.CHECKPOINT_PERIOD=2"),
]


@pytest.mark.slow
def test_the_job_on_real_data_runs_as_written(tmp_path, monkeypatch, capsys):
    samples = resources.path("samples")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(resources.path("dicts"), "muse")  # what `dicts fetch` would bring
    shutil.copytree(samples, "xquad")
    shutil.copy(samples / "alpaca.jsonl", "alpaca.jsonl")
    shutil.copy(samples / "tokenizer.model", "tokenizer.model")
    page = pages.ROOT / "docs" / "real_data.md"
    job, _ = page.read_text(encoding="utf-8").split("## A real pretrained model")
    (tmp_path / "job.md").write_text(job, encoding="utf-8")
    ran = []
    for _, command, *arguments in pages.commands(tmp_path / "job.md"):
        if arguments[:1] == ["fetch"]:
            continue
        small = SMALL if command == "train" else []
        code = cli.main([command, *arguments, *small])
        assert code == 0, capsys.readouterr().err
        ran.append(command)
    assert ran == ["inspect", "train", "lm-eval", "convert", "report"]
    results = json.loads((tmp_path / "out/results.json").read_text(encoding="utf-8"))
    assert "ogx_xquad_hi" in results["results"]
