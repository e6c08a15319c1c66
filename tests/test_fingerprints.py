import pytest

from commit_t5x import fingerprints


def test_content_counts_and_place_does_not(tmp_path):
    for name, text in (("a", "tea"), ("b", "tea"), ("c", "tee")):
        (tmp_path / name).write_text(text)
    a, b, c = (fingerprints.fingerprint(tmp_path / name) for name in "abc")
    assert a == b != c
    assert a.startswith("3 bytes ")
    assert fingerprints.fingerprint(f"file://{tmp_path}/a").startswith("3 bytes at file://")
    assert fingerprints.fingerprint("graelo/wikipedia") == "graelo/wikipedia"


@pytest.mark.parametrize(("place", "seen"), [(0, True), (50, False), (99, True)])
def test_of_large_files_the_ends_count(tmp_path, monkeypatch, place, seen):
    monkeypatch.setattr(fingerprints, "_WHOLE", 64)
    monkeypatch.setattr(fingerprints, "_END", 16)
    path, content = tmp_path / "large", bytearray(100)
    path.write_bytes(content)
    before = fingerprints.fingerprint(path)
    content[place] = 1
    path.write_bytes(content)
    assert (fingerprints.fingerprint(path) != before) == seen


def test_only_what_is_recorded_inside_counts(tmp_path):
    (tmp_path / "en-hi.txt").write_text("tea")
    fingerprints.record("before", tmp_path / "en-hi.txt")
    with fingerprints.recording() as found:
        fingerprints.record("dictionary", tmp_path / "en-hi.txt")
    fingerprints.record("after", tmp_path / "en-hi.txt")
    assert list(found) == ["dictionary"]
