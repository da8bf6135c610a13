"""A folder behind HTTP as an origin of single files."""

import urllib.parse
from collections.abc import Iterable, Iterator, Sequence

from cocomine.base.errors import CocomineError
from cocomine.transfer.attempts import NotServedError, persist
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.promises import checked, promised
from cocomine.transfer.receiving import Target, facts_of_each, fetch_each, receive
from cocomine.transfer.records import Facts, Outcome, Want
from cocomine.transfer.web import Web


class HttpsOrigin:
    """Files below https://host/folder/. A query in the URL (a signature) is sent with each request, shown to nobody."""

    def __init__(self, url: str, label: str, behaviour: Behaviour) -> None:
        self.label = label
        self.web = Web(behaviour)
        self._parts = urllib.parse.urlsplit(url)

    def _address(self, name: str) -> str:
        path = self._parts.path.rstrip("/") + "/" + urllib.parse.quote(name)
        return urllib.parse.urlunsplit((self._parts.scheme, self._parts.netloc, path, self._parts.query, ""))

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Ask for each file's header. Raises CocomineError when the host cannot be reached."""
        return facts_of_each(names, self._facts)

    def _facts(self, name: str) -> Facts | None:
        def attempt() -> Facts:
            with self.web.ask("HEAD", self._address(name)) as answer:
                length = answer.headers.get("content-length", "")
            known = promised(answer)
            size = int(length) if length.isdigit() else -1
            etag = answer.headers.get("etag", "").strip('"')
            return Facts(name, size, known.get("md5", ""), known.get("crc32c", ""), etag=etag)

        try:
            return persist(self.web.behaviour, attempt)
        except NotServedError as error:
            if error.status == "failed":
                raise CocomineError(f"{self.label}: {error}", "check the address, or add another origin") from error
            return None

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch by a pool of threads."""
        behaviour = target.behaviour
        return fetch_each(wants, lambda want: self._attempt(want, target), behaviour, behaviour.threads)

    def _attempt(self, want: Want, target: Target) -> Outcome:
        with self.web.ask("GET", self._address(want.remote)) as answer:
            return receive(checked(want, answer), answer.stream(), target)
