"""How a sync behaves on the network, and the options of a command line that say so."""

import argparse
from dataclasses import dataclass

FEW = 16


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

    def threads(self) -> int:
        """Return how many threads ask a server at a time that is not known to bear more."""
        return min(FEW, self.connections)


def add_behaviour(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how much is done at once and how hard it is tried."""
    default = Behaviour()
    group = parser.add_argument_group("transfer")
    group.add_argument(
        "--connections",
        type=_positive,
        default=default.connections,
        metavar="N",
        help="parallel transfers, in all (default: %(default)s)",
    )
    group.add_argument(
        "--tries", type=_positive, default=default.tries, metavar="N", help="tries for each file (default: %(default)s)"
    )
    group.add_argument(
        "--first-wait",
        type=float,
        default=default.first_wait,
        metavar="SECONDS",
        help="wait before the second try; doubles with each, with jitter (default: %(default)s)",
    )
    group.add_argument(
        "--stall",
        type=float,
        default=default.stall_seconds,
        metavar="SECONDS",
        help="give a connection up after so long without a byte (default: %(default)s)",
    )


def behaviour_of(options: argparse.Namespace) -> Behaviour:
    """Return what the shared options say."""
    return Behaviour(options.connections, options.tries, options.first_wait, options.stall)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value
