"""The options that the sync scripts share."""

import argparse

from cocomine.transfer.behaviour import Behaviour


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
