"""Fenced blocks of the project's pages."""

import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def all_blocks(page):
    """(language, contents) of a page's blocks, from top to bottom."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)


def blocks(page, language):
    """The contents of a page's blocks that say they are of a language, from top to bottom."""
    return [text for found, text in all_blocks(page) if found == language]


def commands(page):
    """The commands of a page's `sh` blocks, as lists of words; pipes are cut into commands."""
    for block in blocks(page, "sh"):
        yield from commands_of(block)


def commands_of(block):
    """The commands of one block."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while "|" in words:
            place = words.index("|")
            yield words[:place]
            words = words[place + 1 :]
        if words:
            yield words


def module_name(block):
    """The file that a Python block is, if it begins with a comment of its name; else None."""
    name = re.match(r"# (\w+\.py)\n", block)
    return name and name[1]


def write_modules(page, folder):
    """Writes the Python blocks of a page that are files."""
    for block in blocks(page, "python"):
        if module_name(block):
            (folder / module_name(block)).write_text(block, encoding="utf-8")
