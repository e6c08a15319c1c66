"""Inflectional endings, for finding the dictionary form of an inflected word.

The rules are deliberately few: endings that are frequent and seldom belong to another word. A word
that a dictionary holds itself never goes through them.
"""

# Language -> (ending of the form, ending of the dictionary form), the likelier rule first.
SUFFIXES: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("'s", ""),
        ("’s", ""),
        ("s", ""),
        ("es", ""),
        ("ies", "y"),
        ("ed", ""),
        ("ed", "e"),
        ("ied", "y"),
        ("ing", ""),
        ("ing", "e"),
        ("ly", ""),
    ),
    "hi": (
        ("ों", ""),
        ("ों", "ा"),
        ("ें", ""),
        ("े", "ा"),
        ("ी", "ा"),
        ("ियों", "ी"),
        ("ियां", "ी"),
        ("ियाँ", "ी"),
        ("ओं", ""),
        ("ता", "ना"),
        ("ते", "ना"),
        ("ती", "ना"),
        ("ने", "ना"),
    ),
    "el": (
        ("ου", "ος"),
        ("ο", "ος"),
        ("οι", "ος"),
        ("ων", "ος"),
        ("ους", "ος"),
        ("ης", "η"),
        ("ες", "α"),
        ("ες", "η"),
        ("ας", "α"),
        ("ά", "ό"),
        ("α", "ο"),
        ("ή", "ός"),
        ("ής", "ή"),
        ("ών", "ός"),
        ("ού", "ός"),
        ("ούς", "ός"),
        ("η", "ος"),
        ("ες", "ος"),
        ("ς", ""),
        ("εις", "η"),
        ("εων", "η"),
        ("ματα", "μα"),
        ("ματος", "μα"),
    ),
}
