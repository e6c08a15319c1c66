"""Pages whose blocks run, in order and in one session."""

import gin
import pages
import pytest
import seqio

from commit_t5x import cli, tasks  # noqa: F401 (registered before a session begins)

SMALL = ("--gin.BATCH_SIZE=2", "--gin.SEQUENCE_LENGTH=64")  # in place of a run's size


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A working directory in which Python finds modules; registries are as before afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for registry in (seqio.TaskRegistry, seqio.MixtureRegistry):
        monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    gin.clear_config()
    yield tmp_path
    gin.clear_config()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["python", "reuse"])
def test_blocks_run(page, session):
    page = pages.ROOT / "docs" / f"{page}.md"
    pages.write_modules(page, session)
    namespace = {}
    for language, text in pages.all_blocks(page):
        if language == "python" and not pages.module_name(text):
            exec(compile(text, page.name, "exec"), namespace)
        elif language == "sh":
            for program, *arguments in pages.commands_of(text):
                if program == "commit-t5x":  # T5X's are for its own tests
                    assert cli.main([*arguments, *(SMALL if arguments[0] == "train" else ())]) == 0
