"""Numbers, nouns and names in messages and tables: "1 image", "2 images", "3 categories"."""

import re


def plural(noun: str) -> str:
    """Return an English noun in the plural; of several words, that of the last."""
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural but for one."""
    return f"{number} {noun if number == 1 else plural(noun)}"


def cell_text(text: str) -> str:
    """Return a name fit for a cell of a Markdown table."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
