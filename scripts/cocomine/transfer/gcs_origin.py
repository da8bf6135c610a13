"""A bucket's prefix as an origin of single files."""

from collections.abc import Iterable, Iterator, Sequence

from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.gcs import Bucket
from cocomine.transfer.receiving import Target, facts_of_each
from cocomine.transfer.records import Facts, Outcome, Want
from cocomine.transfer.settings import OriginSettings

ASKED_ONE_BY_ONE = 300  # from so many names on, a listing of the range they lie in is quicker


class GcsOrigin:
    """Files of gs://bucket/prefix."""

    def __init__(self, settings: OriginSettings, label: str, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.settings = settings
        self.label = label
        self._bucket: Bucket | None = None

    @property
    def bucket(self) -> Bucket:
        """The bucket, opened on first use: credentials are looked for only then."""
        if self._bucket is None:
            self._bucket = Bucket(self.settings, self.behaviour)
        return self._bucket

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Ask for each name's metadata, or list the range that they lie in, whichever is less."""
        if len(names) > ASKED_ONE_BY_ONE:
            wanted = set(names)
            first, last = min(names, key=str.encode), max(names, key=str.encode)
            return {f.name: f for f in self.bucket.listing(start=first, end=last + "\0") if f.name in wanted}
        self.bucket.check()
        return facts_of_each(names, self.bucket.facts_of)

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch by a pool of threads. A missing bucket is found out here, once, and not once a file."""
        self.bucket.check()
        return self.bucket.fetch(wants, target)
