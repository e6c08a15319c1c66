"""Documents that a pass leaves out."""

import logging

from source_files import message_of

from commit_t5x.data import document_filters, sources

DOCUMENTS = ["पहला दस्तावेज़ यहाँ है, और वह लंबा है।", "कुछ और ही लिखा है इस में।"]


def locate_documents(locate, tmp_path, documents):
    path = tmp_path / "hi.txt"
    path.write_text("\n\n".join(documents), encoding="utf-8")
    locate(wikipedia=path)


def texts_of():
    return [example["text"] for example in sources.wikipedia_examples("hi", "train")]


def test_near_duplicates_are_left_out_and_counted(locate, tmp_path, bind, caplog):
    first, second = DOCUMENTS
    locate_documents(locate, tmp_path, [first, first + "!", second, first.replace(" ", "  ")])
    bind("sources.Locations.document_filters", (document_filters.near_duplicates,))
    with caplog.at_level(logging.WARNING):
        assert texts_of() == [first, second]
        assert texts_of() == [first, second]  # each pass begins anew
    assert caplog.text.count("near_duplicates left out 2 of ") == 2
    places = [index for index, _ in sources.wikipedia_examples("hi", "train").indexed()]
    assert places == [0, 2]  # as without a filter


def test_the_threshold_decides(locate, tmp_path, bind):
    similar = ["a b c d e f g h i j k l m n", "a b c d e f g h i j k l X Y"]
    locate_documents(locate, tmp_path, similar)
    bind("sources.Locations.document_filters", (document_filters.near_duplicates,))
    assert len(texts_of()) == 2
    bind("document_filters.near_duplicates.threshold", 0.3)
    assert len(texts_of()) == 1


def test_a_filter_of_ones_own_that_leaves_nothing_is_named(locate, tmp_path, bind):
    def french():
        return lambda text: "bonjour" in text

    locate_documents(locate, tmp_path, DOCUMENTS)
    bind("sources.Locations.document_filters", (french,))
    assert message_of(texts_of).startswith(f"DOCUMENT_FILTERS: french leave nothing of {tmp_path}")
