"""Trying again: what is worth another try, how long to wait before it, and what is said when no try helped."""

import errno
import itertools
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.records import Outcome

T = TypeVar("T")

RETRIED = frozenset({408, 425, 429, *range(500, 600)})  # HTTP statuses
LONGEST_WAIT = 32.0  # seconds between two tries, unless Retry-After asks for more
LONGEST_RETRY_AFTER = 300.0
HOPELESS = 40  # after so many failures in a row, and a file's last try among them, a file gets one try only


class AgainError(Exception):
    """A try failed and another may succeed, not before `pause` seconds from now."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class NotServedError(Exception):
    """The origin does not serve this file, and asking again would not help. `status` is missing, refused or failed."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class CorruptedError(Exception):
    """What arrived is not what was promised; worth another try."""


class ChangedError(Exception):
    """What arrived is what the origin promised, but not what is pinned: another try would bring the same."""


class LocalError(OSError):
    """This machine would not take what came: a full disk, a right, a limit. No other file or origin would do better."""


def stops(error: OSError, ours: str) -> bool:
    """Say whether an error is this machine's; of a right that is lacking, only where it is at our own path `ours`."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return ours in (error.filename, error.filename2)
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE)


def local_error(number: int | None, path: Path | None = None) -> LocalError:
    """Return the error of that number at a path."""
    return LocalError(number, os.strerror(number or 0), *([str(path)] if path is not None else []))


class Health:
    """How an origin has answered lately, shared by the threads that ask it.

    An origin that is down is not waited for file by file: it is hopeless once many tries in a row have failed and a
    file's last was among them, until something comes again.
    """

    def __init__(self) -> None:
        self._failures = 0
        self.hopeless = False

    def answered(self) -> None:
        """Note an answer that was as it should be, or a refusal that was meant."""
        self._failures, self.hopeless = 0, False

    def failed(self, last: bool) -> None:
        """Note a try that failed; `last` when the file gets no other."""
        self._failures += 1
        self.hopeless = self.hopeless or (last and self._failures >= HOPELESS)


def persist(behaviour: Behaviour, attempt: Callable[[], T], health: Health | None = None) -> T:
    """Call `attempt` until it returns, waiting longer between tries each time.

    Raises NotServedError as `attempt` did, or with the last reason when the tries have run out.
    """
    health = health or Health()
    for tries in itertools.count(1):
        try:
            result = attempt()
        except AgainError as error:
            reason, pause = str(error), error.pause
        except CorruptedError as error:
            reason, pause = str(error), 0.0
        except (ChangedError, NotServedError) as error:
            health.answered()
            raise error if isinstance(error, NotServedError) else NotServedError("refused", str(error)) from error
        else:
            health.answered()
            return result
        health.failed(tries >= behaviour.tries)
        if tries >= behaviour.tries:
            raise NotServedError("failed", f"{reason} ({tries} tries)" if tries > 1 else reason)
        if health.hopeless:
            raise NotServedError("failed", f"{reason} (nothing has come from this origin for long)")
        time.sleep(max(backoff(behaviour, tries), pause))
    raise AssertionError


def backoff(behaviour: Behaviour, tries: int) -> float:
    """Return the seconds to wait after so many failed tries: doubling, with jitter, at most 32 s and a half."""
    seconds = min(LONGEST_WAIT, behaviour.first_wait * 2 ** (tries - 1))
    return float(seconds * (0.5 + random.random()))  # noqa: S311


def tried(name: str, attempt: Callable[[], Outcome], behaviour: Behaviour, health: Health | None = None) -> Outcome:
    """Return the outcome of `attempt`, tried as often as it is worth; its failure is an outcome too.

    A CocomineError and a LocalError are no failures of one file and are raised.
    """
    try:
        return persist(behaviour, attempt, health)
    except NotServedError as error:
        return Outcome(name, error.status, str(error))  # type: ignore[arg-type]
    except LocalError:
        raise
    except (OSError, OverflowError) as error:
        return Outcome(name, "failed", words(error))


def words(error: OSError | OverflowError) -> str:
    """Return what the system says, without the path."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def retry_after(value: str) -> float:
    """Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date), 0 for none."""
    if not value:
        return 0.0
    if value.isdigit():
        return min(float(value), LONGEST_RETRY_AFTER)
    import email.utils  # not at the top: it is rarely needed and slow to start

    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError):
        return 0.0
    return min(max(0.0, moment - time.time()), LONGEST_RETRY_AFTER)
