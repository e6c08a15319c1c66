import html.parser

from made_examples import make

from commit_t5x.inspection import page
from commit_t5x.inspection.aligned import Span
from commit_t5x.inspection.inspect import Inspection, TaskInspection
from commit_t5x.inspection.report import Tally

VOID = {"meta", "input", "br"}


class Reader(html.parser.HTMLParser):
    """Collects elements and the text in them, and checks that tags match."""

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.attributes = [], [], []

    def handle_starttag(self, tag, attributes):
        element = (tag, dict(attributes).get("class") or "", [])
        self.elements.append(element)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, _, text in self.open:
            text.append(data)

    def texts(self, tag, css_class=""):
        return [
            "".join(text)
            for name, classes, text in self.elements
            if name == tag and (not css_class or css_class in classes.split())
        ]


def read(*examples):
    tally = Tally()
    for example in examples:
        tally.add(example)
    task = TaskInspection("task", 0.25, examples, tally.report(row_length=8))
    inspection = Inspection("mixture", "train", 42, 0, True, 8, 1, (task,))
    text = page.render(inspection, "A note <with> a tag.")
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader, text


def example(**options):
    roles = [Span(0, 9, "template"), Span(9, 28, "input")]
    tokens = [(0, 12, False, 0), (12, 14, False, None), (14, 19, True, 0), (19, 99, True, 0)]
    return make("Template tea, <i>\na tag\nwater", tokens, roles=roles, **options)


def test_the_page_shows_what_the_terminal_shows():
    reader, _ = read(example(index=1234))
    text = reader.texts("div", "text")[0]
    assert "Template चायtea, <i>" in text  # the source stands above
    assert reader.texts("ruby")[1:] == ["चायtea", "<b>&tag", "น้ำwater"]
    assert reader.texts("rt")[1:] == ["tea", "tag", "water"]
    assert reader.texts("span", "template")[1:] == ["Template "]
    assert reader.texts("span", "cut")[1:] == [", ", "·"] or reader.texts("span", "cut")[1] == ", "
    assert reader.texts("article")[0].startswith("\ntask, example 1,234\n")
    assert "25.0 % of the mixture" in reader.texts("h2")[0]
    assert "effective ratio" in reader.texts("table")[0]
    assert "A note <with> a tag." in reader.texts("p", "quiet")


def test_tokens_and_loss_mask():
    reader, _ = read(example())
    chips = reader.texts("span", "chip")
    assert chips[0] == "Template·चाय3"
    assert reader.texts("span", "chip")[1] == ",·4"
    titles = [value for name, value in reader.attributes if name == "title"]
    assert titles == ["id 3, no loss", "id 4, cut away", "id 5, bears loss", "id 6, bears loss"]
    widths = [value for name, value in reader.attributes if name == "style"]
    assert widths == ["width: 12.500%", "width: 12.500%", "width: 25.000%"]


def test_nothing_outside_of_the_page_is_needed():
    reader, text = read(example(), example(rows=0))
    names = {name for name, _ in reader.attributes}
    assert not names & {"src", "href", "srcset", "onclick"}
    assert "url(" not in text and "@import" not in text and "//" not in text
    assert not {tag for tag, _, _ in reader.elements} & {"script", "link", "img", "iframe"}
    assert "prefers-color-scheme: dark" in text


def test_each_line_has_its_own_direction():
    reader, _ = read(example())
    assert [value for name, value in reader.attributes if name == "dir"] == ["auto"] * 3


def test_a_dropped_example_says_so():
    reader, _ = read(make("a b", [(0, 2, False, None), (2, 3, True, None)], rows=0))
    assert "DROPPED" in reader.texts("article", "dropped")[0]
    assert reader.texts("span", "cut")[1:] == []
