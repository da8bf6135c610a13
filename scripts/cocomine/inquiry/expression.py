"""The small language of `count_subset`: 'giraffe and not person', '"dining table" or (cup and person >= 2)'.

    expression = and-part { "or" and-part }
    and-part   = not-part { "and" not-part }
    not-part   = "not" not-part | "(" expression ")" | term
    term       = name [ comparison number ]
    comparison = ">=" | "<=" | ">" | "<" | "=" | "==" | "!="
    name       = '"' any text '"' | "'" any text "'" | word { word } | id

A bare name is true of an image with at least one object of the category (or of a supercategory of that name); a
comparison counts the image's objects. `and` binds closer than `or`, `not` closer than `and`. Keywords may
be upper case; a category called "and" is written in quotes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from cocomine.base.errors import CocomineError

COMPARISONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
}
KEYWORDS: Final = ("and", "or", "not")
DEEPEST: Final = 100

_TOKEN = re.compile(r"""\s*(?:(?P<quoted>"[^"]*"|'[^']*')|(?P<op>>=|<=|==|!=|[<>=()])|(?P<word>[^\s<>=!()"']+))""")


@dataclass(frozen=True)
class Term:
    """A category by name or id, with a comparison of its number of objects if one was given."""

    name: str
    comparison: str | None = None
    number: int = 0

    def __str__(self) -> str:
        plain = re.fullmatch(r"[^\s<>=!()\"']+( [^\s<>=!()\"']+)*", self.name) and not set(self.name.split()) & set(
            KEYWORDS
        )
        name = self.name if plain else f"'{self.name}'" if '"' in self.name else f'"{self.name}"'
        return name if self.comparison is None else f"{name} {self.comparison} {self.number}"


@dataclass(frozen=True)
class Not:
    """True where its part is not."""

    part: Node

    def __str__(self) -> str:
        return f"not {_bracketed(self.part)}"


@dataclass(frozen=True)
class And:
    """True where all its parts are."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " and ".join(map(_bracketed, self.parts))


@dataclass(frozen=True)
class Or:
    """True where any of its parts is."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " or ".join(map(_bracketed, self.parts))


Node = Term | Not | And | Or


def _bracketed(node: Node) -> str:
    return f"({node})" if isinstance(node, And | Or) else str(node)


def parse(text: str) -> Node:
    """Parse an expression. Raises CocomineError that points at the letter where it goes wrong."""
    return _Parser(text).whole()


def terms(node: Node, negated: bool = False) -> Iterator[tuple[Term, bool]]:
    """Yield the terms of an expression in order, each with whether an odd number of `not` stands before it."""
    if isinstance(node, Term):
        yield node, negated
    elif isinstance(node, Not):
        yield from terms(node.part, not negated)
    else:
        for part in node.parts:
            yield from terms(part, negated)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._split())
        self.at = 0
        self.depth = 0

    def _split(self) -> Iterator[_Token]:
        at, end = 0, len(self.text.rstrip())
        while at < end:
            match = _TOKEN.match(self.text, at)
            if match is None:
                at += len(self.text[at:]) - len(self.text[at:].lstrip())
                self._fail("a quotation mark without its other" if self.text[at] in "\"'" else "not understood", at)
            kind = str(match.lastgroup)
            word = match.group(kind)
            if kind == "word" and word.lower() in KEYWORDS:
                kind, word = "op", word.lower()
            yield _Token(kind, word[1:-1] if kind == "quoted" else word, match.start(match.lastgroup or 0))
            at = match.end()

    def whole(self) -> Node:
        if not self.tokens:
            self._fail("empty", 0)
        node = self._or()
        if self.at < len(self.tokens):
            self._fail("'and' or 'or' is missing here", self.tokens[self.at].at)
        return node

    def _peek(self) -> _Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else _Token("end", "", len(self.text))

    def _take(self, *texts: str) -> bool:
        token = self._peek()
        if token.kind == "op" and token.text in texts:
            self.at += 1
            return True
        return False

    def _or(self) -> Node:
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Node:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self) -> Node:
        begin = self._peek().at
        self.depth += 1
        if self.depth > DEEPEST:
            self._fail("nested too deeply", begin)
        if self._take("not"):
            node: Node = Not(self._not())
        elif self._take("("):
            node = self._or()
            if not self._take(")"):
                self._fail("')' is missing for the '(' here", begin)
        else:
            node = self._term()
        self.depth -= 1
        return node

    def _term(self) -> Term:
        token = self._peek()
        if token.kind not in ("word", "quoted"):
            self._fail("a category is missing here", token.at)
        self.at += 1
        name = token.text
        if token.kind == "word":
            while self._peek().kind == "word":
                name += " " + self._peek().text
                self.at += 1
        if not name.strip():
            self._fail("a category is missing here", token.at)
        comparison = self._peek()
        if not self._take(*COMPARISONS):
            return Term(name)
        number = self._peek()
        if number.kind != "word" or not (number.text.isascii() and number.text.isdigit()):
            self._fail("a whole number is missing here", number.at)
        self.at += 1
        return Term(name, comparison.text, int(number.text))

    def _fail(self, problem: str, at: int) -> NoReturn:
        raise CocomineError(
            f"query: {problem}\n  {self.text}\n  {' ' * at}^",
            "write it like 'giraffe and not person', or '\"dining table\" or (cup and person >= 2)'",
        )
