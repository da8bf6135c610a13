"""How a sync behaves on the network. Imports next to nothing, so that a command line starts at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """How hard a sync tries, and how much it does at once.

    `connections` is how many files are fetched at a time; `tries` is the number of times that one file is asked for;
    `first_wait` (s) doubles with each, with jitter, unless `Retry-After` asks for more; after
    `stall_seconds` without a byte a connection is given up.
    """

    connections: int = 128
    tries: int = 6
    first_wait: float = 0.5
    stall_seconds: float = 30.0
