from commit_t5x import resources


def test_a_wheel_has_the_folders_inside_the_package_and_a_checkout_beside_it(monkeypatch, tmp_path):
    package = tmp_path / "commit_t5x"
    (package / "samples").mkdir(parents=True)
    (tmp_path / "gin").mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resources.path("samples") == package / "samples"
    assert resources.path("gin") == tmp_path / "gin"
    (package / "gin").mkdir()
    assert resources.path("gin") == package / "gin"
