"""Examples and mix reports as one page without anything outside of it."""

import jinja2

from commit_t5x import resources
from commit_t5x.inspection import layout, wording
from commit_t5x.inspection.inspect import Inspection


def render(inspection: Inspection, note: str | None = None) -> str:
    """Returns the page.

    Args:
      inspection: what to show.
      note: a line for the top of the page.
    """
    folder = resources.path("inspection")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        inspection=inspection,
        note=note,
        wording=wording,
        lines=lambda example: layout.lines(layout.runs(example, layout.LIMIT)),
        chips=lambda example: list(layout.chips(example, layout.LIMIT, inspection.bos_id)),
        bar=lambda example: layout.bar(example, inspection.row_length),
        limit=layout.LIMIT,
    )
