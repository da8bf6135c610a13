"""The one error type that a user is meant to read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

_SECRETS = re.compile(
    r"(://)[^/?#\s\"'<>]*@"
    r"|([?&][^=\s&\"'<>]*(?:sig|token|key|secret|credential|passw|pwd|auth)[^=\s&\"'<>]*=)[^&#\s\"'<>]+",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """Return `text` with user names and passwords in URLs and the values of signing parameters left out."""
    return _SECRETS.sub(lambda found: found[1] or f"{found[2]}…", text)


class CocomineError(Exception):
    """Something that the user can put right: what is wrong and where, and the remedy.

    `message` names the thing, the key or the file and the value; `hint` says what to do about it. A command line that
    meets one prints both and exits with 1, with no traceback. Secrets in URLs are left out of both.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = without_secrets(message)
        self.hint = without_secrets(hint)
        super().__init__(self.message, self.hint)  # both, so that a worker process can hand it on

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message


@contextmanager
def about(section: str, name: str) -> Iterator[None]:
    """Within it, an error that speaks of the config's `section` speaks of `name` instead.

    A script sees a section of the config without its name: `subset: categories: …` becomes
    `subsets.pets.categories: …` with `about("subset", "subsets.pets")`, which is the key that the user wrote.
    """
    try:
        yield
    except CocomineError as error:
        if not error.message.startswith(f"{section}: "):
            raise
        rest = error.message.removeprefix(f"{section}: ")
        joint = "." if re.match(r"\w+: ", rest) else ": "
        raise CocomineError(f"{name}{joint}{rest}", error.hint) from error
