"""Fenced blocks of the project's pages."""

import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    """The contents of a page's blocks that say they are of a language, from top to bottom."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def commands(page):
    """The commands of a page's `sh` blocks, as lists of words; pipes are cut into commands."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while "|" in words:
                place = words.index("|")
                yield words[:place]
                words = words[place + 1 :]
            if words:
                yield words
