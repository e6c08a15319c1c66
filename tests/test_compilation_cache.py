import os
import subprocess
import sys

import pytest

from commit_t5x import compilation_cache


@pytest.fixture
def caches(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {"XDG_CACHE_HOME": str(tmp_path)})
    return tmp_path


def test_lies_in_the_users_cache_directory(caches, monkeypatch):
    compilation_cache.enable()
    folder = caches / "commit-t5x" / "programs"
    assert folder.is_dir() and os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)


def test_what_was_used_least_lately_goes_and_what_is_empty(caches, monkeypatch):
    monkeypatch.setattr(compilation_cache, "_MAX_BYTES", 250)
    folder = compilation_cache.directory()
    folder.mkdir(parents=True)
    for age, (name, size) in enumerate({"new": 100, "empty": 0, "used": 100, "old": 100}.items()):
        (folder / name).write_bytes(bytes(size))
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    os.utime(folder / "used", (1e9, 0))  # read lately, written long ago
    compilation_cache.enable()
    assert {path.name for path in folder.iterdir()} == {"new", "used"}


def test_a_size_of_the_environment_is_jaxs_own_business(caches):
    folder = compilation_cache.directory()
    folder.mkdir(parents=True)
    (folder / "empty").touch()
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = "1000000"
    compilation_cache.enable()
    assert (folder / "empty").exists()


def test_settings_of_the_environment_win(caches):
    os.environ["JAX_COMPILATION_CACHE_DIR"] = "elsewhere"
    compilation_cache.enable()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "elsewhere"
    assert not list(caches.iterdir())


def test_a_directory_that_cannot_be_made_is_no_error(caches):
    (caches / "commit-t5x").write_text("a file")
    compilation_cache.enable()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    def none(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr("pathlib.Path.expanduser", none)
    compilation_cache.enable()
    assert not os.environ


def test_a_second_process_finds_the_programs_of_the_first(tmp_path):
    code = """
import collections, os
from commit_t5x import compilation_cache
compilation_cache.enable()
import jax
found = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: found.update([event]))
print(jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((4, 4))).sum())
print(found["/jax/compilation_cache/cache_hits"])
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

    def hits(**settings):
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment | settings,
        )
        assert run.stdout.splitlines()[0] == "80.0"
        return int(run.stdout.splitlines()[1])

    assert hits() == 0
    assert hits() > 0
    assert hits(JAX_ENABLE_COMPILATION_CACHE="false") == 0
