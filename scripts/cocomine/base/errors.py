"""The one error type that a user is meant to read."""


class CocomineError(Exception):
    """Something that the user can put right: what is wrong and where, and the remedy.

    `message` names the thing, the key or the file and the value; `hint` says what to do about it. A command line that
    meets one prints both and exits with 1, with no traceback.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message
