"""Tasks cached by `seqio_cache_tasks`, as docs/caching.md has it, are the tasks uncached."""

import json
import os
import pathlib
import subprocess
import sysconfig

import pytest
import seqio

from commit_t5x import resources
from commit_t5x.errors import InputError
from commit_t5x.tasks import alpaca  # noqa: F401 (registration)

pytestmark = pytest.mark.slow  # Beam runs in a process of its own

SHARDS = 3
DOCUMENTS = 40  # of the shipped sample
CONFIGURATION = """
from commit_t5x import tasks
from commit_t5x.engine import gin_utils
gin_utils.load(["recipes/align.gin"], {bindings})
"""


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """Caches the Hindi samples, in several files; returns their location and the cache."""
    folder = tmp_path_factory.mktemp("caching")
    sample = resources.path("samples") / "wikipedia.hi.txt"
    documents = sample.read_text(encoding="utf-8").strip().split("\n\n")
    assert len(documents) == DOCUMENTS
    for number in range(SHARDS):
        texts = documents[number::SHARDS]
        lines = [json.dumps({"text": text}) for text in texts]
        (folder / f"hi-{number}.jsonl").write_text("\n".join(lines))
    bindings = {
        "MODEL_DIR": "unused",
        "INITIAL_CHECKPOINT_PATH": None,
        "LANGUAGE": "hi",
        "DICT_DIR": "samples",
        "TOKENIZER": "samples",
        "WIKIPEDIA_PATH": f"{folder}/{{lang}}-*.jsonl",
    }
    module = CONFIGURATION.format(bindings=[f"{k}={v!r}" for k, v in bindings.items()])
    (folder / "my_data.py").write_text(module)
    command = [
        str(pathlib.Path(sysconfig.get_path("scripts")) / "seqio_cache_tasks"),
        "--module_import=my_data",
        "--tasks=wikipedia_hi,wikipedia_codemix_hi",
        f"--output_cache_dir={folder}/cache",
        "--min_shards=4",
        # DirectRunner without a try at the network for something faster.
        "--pipeline_options=--runner=FnApiRunner,--beam_plugin=my_data",
    ]
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert all(f"hi-{number}.jsonl" in done.stderr for number in range(SHARDS))
    return bindings["WIKIPEDIA_PATH"], str(folder / "cache")


@pytest.fixture
def task(cached, locate, samples, monkeypatch):
    """Returns a function from a name to a task that finds the cache."""
    location, cache = cached
    locate(wikipedia=location)
    folders = seqio.get_global_cache_dirs()
    seqio.set_global_cache_dirs([cache])

    def task(name):
        found = seqio.get_mixture_or_task(name)
        monkeypatch.setattr(found, "_cache_dir", None)  # else it remembers another cache
        return found

    yield task
    seqio.set_global_cache_dirs(folders)


def rows(task, use_cached, **options):
    ds = task.get_dataset(None, use_cached=use_cached, seed=5, try_in_mem_cache=False, **options)
    return [row["targets"].tolist() for row in ds.as_numpy_iterator()]


def test_cached_tokens_are_the_tokens(task):
    wikipedia = task("wikipedia_hi")
    uncached = rows(wikipedia, False, shuffle=False)
    cached = rows(wikipedia, True, shuffle=False)
    assert len(uncached) == DOCUMENTS
    assert sorted(cached) == sorted(uncached)
    assert wikipedia.get_cached_stats("train")["targets_tokens"] == sum(
        len(tokens) - 1
        for tokens in uncached  # SeqIO doesn't count EOS
    )


def test_a_cached_task_mixes_as_the_uncached_one(task):
    codemix = task("wikipedia_codemix_hi")
    uncached = rows(codemix, False, shuffle=False, num_epochs=2)
    cached = rows(codemix, True, shuffle=False, num_epochs=2)
    epochs = [(passes[:DOCUMENTS], passes[DOCUMENTS:]) for passes in (uncached, cached)]
    for epoch, epoch_of_cache in zip(*epochs, strict=True):
        assert sorted(epoch_of_cache) == sorted(epoch)
    first, second = epochs[0]
    assert sum(a != b for a, b in zip(first, second, strict=True)) > DOCUMENTS // 2
    # Shuffling, of files too, changes the order and nothing else.
    shuffled = rows(codemix, True, shuffle=True, num_epochs=2)
    assert sorted(shuffled) == sorted(uncached) and shuffled != cached


def test_a_task_that_is_not_in_the_cache_is_named(task):
    with pytest.raises(InputError, match="alpaca_en: not cached in .*caching.*run seqio_cache"):
        rows(task("alpaca_en"), True)
