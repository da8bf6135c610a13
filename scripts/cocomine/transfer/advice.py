"""What is known of hosts that serve badly and buckets that are gone, as rows of advice.json."""

import functools
from pathlib import Path

from cocomine.base.files import read_json

TABLE = Path(__file__).with_name("advice.json")


@functools.cache
def _table() -> dict[str, dict[str, str]]:
    table: dict[str, dict[str, str]] = read_json(TABLE)
    return table


def advice_for_host(host: str) -> str:
    """Return what to use instead of a host that is known to serve badly, or an empty string."""
    return _table()["difficult_hosts"].get(host, "")


def advice_for_dead_bucket(bucket: str) -> str:
    """Return what to use instead of a bucket that is known to be gone, or an empty string."""
    return _table()["dead_buckets"].get(bucket, "")
