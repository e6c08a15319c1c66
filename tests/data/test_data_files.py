import fsspec
import pytest
from source_files import message_of

from commit_t5x import resources
from commit_t5x.data import data_files
from commit_t5x.errors import InputError

NAMES = ["hi.txt", "texts/hi.txt"]
MLQA = "test-context-en-question-en.json"


def find(location, shards=""):
    return data_files.find(str(location), "MY_PATH", NAMES, shards)


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jsonl", "a.parquet", "c.txt.gz", "d.csv", ".e.txt", "_f.txt", "g.txt/h.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def test_a_file_is_itself(folder):
    assert find(folder / "b.jsonl") == [str(folder / "b.jsonl")]
    assert find(folder / "d.csv") == [str(folder / "d.csv")]  # which reading refuses by name
    odd = folder / "odd[1]*.txt"
    odd.touch()
    assert find(odd) == [str(odd)]


def test_the_files_of_a_folder_are_shards(folder):
    kept = [str(folder / name) for name in ("a.parquet", "b.jsonl", "c.txt.gz")]
    assert find(folder, ".*") == find(f"{folder}/", ".*") == kept
    assert find(folder, "[^b].*") == [kept[0], kept[2]]


def test_a_file_of_the_name_goes_before_shards(folder):
    path = folder / "texts" / "hi.txt"
    path.parent.mkdir()
    path.touch()
    assert find(folder, ".*") == [str(path)]
    (folder / "hi.txt").touch()
    with pytest.raises(InputError, match="MY_PATH: .*/hi.txt and texts/hi.txt are both there"):
        find(folder, ".*")


def test_a_glob_takes_files_in_order(folder):
    assert find(folder / "[ab].*") == [str(folder / "a.parquet"), str(folder / "b.jsonl")]
    assert find(folder / "**" / "h.txt") == [str(folder / "g.txt" / "h.txt")]
    for name in ("wiki [ab] 100%", "wiki a 100%"):
        (folder / name).mkdir()
        (folder / name / "x.txt").touch()
    assert find(folder / "wiki [ab] 100%" / "*.txt") == [str(folder / "wiki [ab] 100%" / "x.txt")]
    assert find(folder / "wiki [ab] *" / "*.txt") == [str(folder / "wiki a 100%" / "x.txt")]


def test_a_url_may_be_a_file_a_folder_or_a_glob():
    memory = fsspec.filesystem("memory")
    for name in ("b.jsonl", "a.jsonl", "c.csv"):
        memory.pipe(f"memory://files/{name}", b"")
    a, b = (["memory://files/a.jsonl"], ["memory://files/b.jsonl"])
    assert find(b[0]) == b
    assert find("memory://files", ".*") == a + b
    assert [path.replace(":///", "://") for path in find("memory://files/*.jsonl")] == a + b
    for location in ("memory://files/none.txt", "memory://nothing", "memory://nothing/*.txt"):
        with pytest.raises(InputError, match="no such file or folder; set MY_PATH to where"):
            find(location)
    with pytest.raises(InputError, match="^MY_PATH: nonsense://x cannot be looked up"):
        find("nonsense://x")


@pytest.mark.parametrize("name", ["tatsu-lab/alpaca", "alpaca", "tfds:wikipedia/hi/x", "a.b/c"])
def test_other_names_are_for_the_hub_and_tfds(name):
    assert find(name) is None


@pytest.mark.parametrize(
    "location",
    ["./a", "../a", "/a/b", "~/a", "a/", "a/b/c", "a.jsonl", "a/b.txt", "a.gz", "wiki-*"],
)
def test_what_looks_like_a_path_must_exist(location):
    expected = f"{location}: no such file or folder; set MY_PATH to where the data lies"
    assert message_of(find, location) == expected


def test_a_folder_without_any_file_says_which(folder):
    expected = f"{folder}/hi.txt: no such file; put it there or set MY_PATH"
    assert message_of(find, folder) == expected


def test_samples():
    path = resources.path("samples") / "alpaca.jsonl"
    assert data_files.find("samples", "MY_PATH", ["alpaca.jsonl"]) == [str(path)]
    with pytest.raises(InputError, match="^MY_PATH: the samples hold no hi.txt; set it to"):
        find("samples", ".*")


@pytest.mark.parametrize("name", ["xquad.en.json", "en.txt", "wiki.en.jsonl.gz", MLQA])
def test_a_file_that_is_named_for_another_language_is_refused(name):
    for language in ("en", "en_GB"):
        data_files.check_language(f"a.hi.b/{name}", "XQUAD_PATH", language)
    with pytest.raises(InputError, match=f"XQUAD_PATH: x/{name} is named for 'en', not 'hi'; give"):
        data_files.check_language(f"x/{name}", "XQUAD_PATH", "hi")


@pytest.mark.parametrize("name", ["my.qa.json", "en", "questions.json", "wiki.en.de.txt"])
def test_names_that_say_nothing_of_another_language(name):
    data_files.check_language(name, "XQUAD_PATH", "de")
