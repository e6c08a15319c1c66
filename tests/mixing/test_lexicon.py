import gzip

import pytest
from source_files import write

from commit_t5x import resources
from commit_t5x.errors import InputError
from commit_t5x.mixing.lexicon import Lexicon, load_dictionary


def test_translations_keep_file_order_and_repeats():
    lexicon = Lexicon.from_pairs(
        [("water", "पानी"), ("tea", "चाय"), ("water", "जल"), ("water", "पानी"), ("I", "मैं")]
    )
    assert lexicon.translations("water") == ("पानी", "जल", "पानी")
    assert lexicon.translations("Water") == lexicon.translations("") == ()
    assert list(lexicon) == ["water", "tea", "I"]
    assert dict(lexicon.items()) == {"water": ("पानी", "जल", "पानी"), "tea": ("चाय",), "I": ("मैं",)}
    assert len(lexicon) == 3
    assert "tea" in lexicon and "Tea" not in lexicon


def test_without_identity_drops_pairs_equal_but_for_case():
    lexicon = Lexicon({"tv": ("TV", "τηλεόραση"), "ok": ("ok", "OK"), "tea": ("τσάι",)})
    kept = dict(lexicon.without_identity().items())
    assert kept == {"tv": ("τηλεόραση",), "tea": ("τσάι",)}


def test_case_variants_carry_the_case_over():
    lexicon = Lexicon({"tea": ("τσάι", "ρόφημα"), "a": ("ένα",)}).with_case_variants()
    assert dict(lexicon.items()) == {
        "tea": ("τσάι", "ρόφημα"),
        "Tea": ("Τσάι", "Ρόφημα"),
        "TEA": ("ΤΣΆΙ", "ΡΌΦΗΜΑ"),
        "a": ("ένα",),
        "A": ("Ένα",),  # one letter: a capitalised word rather than an upper-case one
    }


@pytest.mark.parametrize("order", [1, -1])
def test_an_entry_wins_over_a_variant_wherever_it_stands(order):
    pairs = [("us", "εμάς"), ("US", "ΗΠΑ"), ("turkey", "γαλοπούλα"), ("Turkey", "Τουρκία")]
    lexicon = Lexicon.from_pairs(pairs[::order]).with_case_variants()
    assert lexicon.translations("US") == ("ΗΠΑ",)
    assert lexicon.translations("Us") == ("Εμάς",)
    assert lexicon.translations("Turkey") == ("Τουρκία",)
    assert lexicon.translations("turkey") == ("γαλοπούλα",)


def test_variants_keep_the_weights():
    lexicon = Lexicon({"bake": ("a", "bake", "b")}, weights={"bake": (1.0, 5.0, 3.0)})
    lexicon = lexicon.without_identity().with_inflected_forms("en").with_case_variants()
    for word in ("bake", "baked", "Bake", "BAKED"):
        assert lexicon.shares(word) == (0, 2**30)


def test_merged_keeps_the_weights():
    weighted = Lexicon({"tea": ("a", "b"), "ice": ("c",)}, weights={"tea": (3.0, 1.0)})
    merged = Lexicon.merged([(weighted, 1), (Lexicon({"tea": ("d",)}), 1)])
    assert merged.shares("tea") == (0, 3 * 2**29, 2**31)


def test_canonical_joins_the_spellings_of_a_word():
    spellings = {
        "e\u0301": ("x",),
        "\xe9": ("y", "z"),
        "\xe9\xad": ("v",),
        "a": ("w",),
        "\xad": ("u",),
    }
    lexicon = Lexicon(spellings).canonical()
    assert dict(lexicon.items()) == {"\xe9": ("x", "y", "z", "v"), "a": ("w",)}
    assert lexicon.canonical() is lexicon
    weighted = Lexicon(spellings, weights={"\xe9": (2.0, 4.0)}).canonical()
    assert weighted.shares("\xe9") == (0, 2**29, 2**30 + 2**29, 2**32 // 8 * 7)


def test_an_entry_wins_over_an_inflected_form():
    lexicon = Lexicon({"leaf": ("x",), "leaves": ("y",), "carry": ("z",)})
    forms = lexicon.with_inflected_forms("en", known={"carried"})
    assert forms.translations("leaves") == ("y",)
    assert forms.translations("carries") == ("z",)
    assert "carried" not in forms


def test_variants_of_scripts_without_case_change_nothing():
    lexicon = Lexicon({"पानी": ("water",), "น้ำ": ("น้ำ",)})
    assert lexicon.with_case_variants().translations("น้ำ") == ("น้ำ",)
    assert len(lexicon.with_case_variants()) == 2


@pytest.mark.parametrize("pair", ["en-hi", "en-el", "en-th", "hi-en", "el-en", "th-en"])
def test_sample_dictionaries_load(bind, pair):
    bind("lexicon.load_dictionary.directory", "samples")
    lexicon = load_dictionary(*pair.split("-"))
    shipped = Lexicon.load(resources.path("dicts") / f"{pair}.txt")
    assert list(lexicon.items()) == list(shipped.items())
    assert len(lexicon) > 100


@pytest.mark.parametrize("name", ["en-xx.txt", "en-xx.tsv", "en-xx.csv", "en-xx.txt.gz"])
def test_dictionaries_of_a_folder(bind, tmp_path, name):
    content = "tea,ti\n" if name.endswith(".csv") else "tea\tti\n"
    packed = gzip.compress(content.encode()) if name.endswith(".gz") else content
    write(tmp_path / name, packed)
    bind("lexicon.load_dictionary.directory", str(tmp_path))
    assert load_dictionary("en", "xx").translations("tea") == ("ti",)


def test_the_folder_may_change_between_runs(bind, tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name / "en-xx.txt", f"tea {name}\n")
        bind("lexicon.load_dictionary.directory", str(tmp_path / name))
        assert load_dictionary("en", "xx").translations("tea") == (name,)


def test_a_missing_dictionary_is_named_with_the_remedy(bind, tmp_path):
    bind("lexicon.load_dictionary.directory", str(tmp_path))
    message = f"{tmp_path / 'en-xx.txt'}: no dictionary en-xx there; .* set DICT_DIR"
    with pytest.raises(InputError, match=f"^{message}"):
        load_dictionary("en", "xx")


def test_two_files_of_a_pair_are_one_too_many(tmp_path, bind):
    for suffix in ("txt", "tsv"):
        (tmp_path / f"en-xx.{suffix}").write_text(f"tea\t{suffix}\n")
    bind("lexicon.load_dictionary.directory", str(tmp_path))
    with pytest.raises(InputError, match="DICT_DIR: .*en-xx.txt and en-xx.tsv are both there"):
        load_dictionary("en", "xx")
