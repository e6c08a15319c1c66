import pytest

from commit_t5x import cli


@pytest.mark.parametrize(
    "arguments",
    [[], ["fetch"], ["check"], ["import", "tsv", "x", "y"], ["merge", "x", "y"], ["fetch", "--no"]],
)
def test_wrong_flags_are_a_usage_error(arguments):
    with pytest.raises(SystemExit) as exited:
        cli.main(["dicts", *arguments])
    assert exited.value.code == 2


@pytest.mark.parametrize("action", ["fetch", "import", "merge", "invert", "romanise", "check"])
def test_help_shows_an_example(capsys, action):
    with pytest.raises(SystemExit) as exited:
        cli.main(["dicts", action, "--help"])
    assert exited.value.code == 0
    assert f"commit-t5x dicts {action}" in capsys.readouterr().out.partition("example:")[2]
