"""What Snakemake asks of a bucket, answered from one listing; and what a machine has fetched once already.

Snakemake's plugins of S3 and of Google Cloud Storage ask for each object by itself and again at each step: whether it
is there, whether it is a folder, how large and how old it is. A listing answers all of that for a thousand objects.
Nothing but a process itself and jobs that it waits for changes what it asks about, so that a listing holds until then.
"""

import errno
import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast
from urllib.parse import urlparse

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, sha256_of_file

log = logging.getLogger("cocomine")

SCRATCH = "COCOMINE_SCRATCH"
"""The variable that names a folder on a machine's own disk, where jobs keep what they fetched for one another."""

ASKS_NOTHING = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
"""The variable that keeps Google's client from asking in a thread where a bucket lies, for traces that nobody reads."""

PART = 64 << 20
"""Bytes of a part of a large object, a request each, on S3; what its client asks for, 8 MiB, are fifty photographs."""

NO_BUCKET = ("NoSuchBucket", "NotFound")
"""What the clients of S3 and of Google Cloud Storage call the error of a bucket that is not there yet."""

_Plain: Any = object
"""The class of a plugin's objects, which stands behind `_Listed` when there is a plugin."""


class Facts(NamedTuple):
    """What a bucket says of an object: its time, its size, and what no other content of that name has."""

    mtime: float
    size: int
    state: str


class Bucket:
    """The objects of a build, below a prefix, as they were listed last; without a prefix a folder at a time."""

    _folders: dict[str, tuple[dict[str, Facts], set[str]]]

    def __init__(self, provider: Any, prefix: str) -> None:
        place = urlparse(prefix)
        self.provider, self.name = provider, place.netloc
        self.prefix = place.path.strip("/") + "/" if place.path.strip("/") else ""
        self.there = False  # as far as is known
        self.forget()

    def holds(self, bucket: str, key: str) -> bool:
        """Whether an object, if it is there, is one of the build's."""
        return bucket == self.name and key.startswith(self.prefix)

    def facts(self, key: str) -> Facts | None:
        """What is known of an object; nothing where there is none."""
        return self._listed(key)[0].get(key)

    def is_folder(self, key: str) -> bool:
        """Whether other objects lie below a name."""
        return key in self._listed(key)[1]

    def changed(self, key: str) -> None:
        """Ask anew, when asked, where this process has stored or removed something: mostly nobody asks again."""
        self._folders = {name: listed for name, listed in self._folders.items() if name != self._name(key)}

    def forget(self) -> None:
        """Ask anew when asked: a job on another machine has ended."""
        self._folders = {}

    def _name(self, key: str) -> str:
        return self.prefix or "".join(key.partition("/")[:2])

    def _listed(self, key: str) -> tuple[dict[str, Facts], set[str]]:
        """What was listed with an object, and the names that others lie below."""
        folders, name = self._folders, self._name(key)  # another thread may `forget` meanwhile
        if (listed := folders.get(name)) is None:
            try:
                facts = dict(_rows(self.provider, self.name, name))
            except Exception as error:
                if type(error).__name__ not in NO_BUCKET:
                    raise
                return {}, set()
            self.there = True
            listed = facts, {str(one) for known in facts for one in PurePosixPath(known).parents}
            folders[name] = listed
        return listed


def _rows(provider: Any, bucket: str, prefix: str) -> Iterator[tuple[str, Facts]]:
    """Yield the objects whose names begin so."""
    if hasattr(provider, "s3c"):
        for one in provider.s3c.Bucket(bucket).objects.filter(Prefix=prefix):
            # A listing says fractions of a second where the head of an object, which others may ask for, says none.
            yield one.key, Facts(int(one.last_modified.timestamp()), one.size, one.e_tag)
    else:
        for one in provider.client.list_blobs(bucket, prefix=prefix):
            yield one.name, Facts(one.updated.timestamp(), one.size, f"{one.md5_hash} {one.generation}")


class _Listed(_Plain):  # type: ignore[misc]
    """Over a plugin's object: one of the build is asked for by `known`, what lies elsewhere as ever."""

    known: Bucket

    @property
    def _name(self) -> str:
        return str(getattr(self, "bucket_name", self.bucket))

    @property
    def _ours(self) -> bool:
        return self.known.holds(self._name, self.key) and not self.known.is_folder(self.key)

    def s3obj(self, subkey: str | None = "") -> Any:
        one = super().s3obj(subkey)
        for name in ("download_file", "upload_file"):
            setattr(one, name, partial(getattr(one, name), Config=_in_parts()))
        return one

    @property
    def blob(self) -> Any:
        one = super().blob
        ask = one.reload
        # What was fetched came with its checksum and was held to it; the plugin would ask for it once more.
        one.reload = lambda: None if one.crc32c else ask()
        return one

    async def inventory(self, cache: Any) -> None:
        if not self._ours:
            await super().inventory(cache)

    def exists(self) -> bool:
        return self.known.facts(self.key) is not None if self._ours else super().exists()

    def mtime(self) -> float:
        return self._facts().mtime if self._ours else super().mtime()

    def size(self) -> int:
        return self._facts().size if self._ours else super().size()

    def _facts(self) -> Facts:
        if (facts := self.known.facts(self.key)) is None:  # what a job of the same group is about to make
            raise FileNotFoundError(errno.ENOENT, "no such object", self.query)
        return facts

    def is_dir(self) -> bool:
        return not self._ours and super().is_dir()

    def is_directory(self) -> bool:
        return not self._ours and super().is_directory()

    def bucket_exists(self) -> bool:
        return (self._name == self.known.name and self.known.there) or super().bucket_exists()

    def ensure_bucket_exists(self) -> None:
        if not (self._name == self.known.name and self.known.there):
            super().ensure_bucket_exists()

    def retrieve_object(self) -> None:
        scratch, facts = os.environ.get(SCRATCH), self.known.facts(self.key) if self._ours else None
        if scratch and facts:
            identity = f"{self.query} {facts.size} {facts.state}"
            fetch_once(Path(scratch), identity, self.local_path(), super().retrieve_object)
        else:
            super().retrieve_object()

    def store_object(self) -> None:
        super().store_object()
        if self.known.holds(self._name, self.key):
            self.known.changed(self.key)

    def remove(self) -> None:
        super().remove()
        if self.known.holds(self._name, self.key):
            self.known.changed(self.key)


def ask_once(provider: Any, prefix: str, executor: Any) -> Bucket:
    """Let Snakemake's plugin of a bucket ask by listing, for what lies below a prefix; return what it asks.

    `executor` is the class of executors whose jobs run elsewhere: what it reports of one makes the listing old.
    """
    plain = provider.get_storage_object_cls()
    if issubclass(plain, _Listed):  # by another workflow of this run
        return cast("Bucket", plain.known)
    os.environ.setdefault(ASKS_NOTHING, "true")
    known = Bucket(provider, prefix)
    if hasattr(provider, "s3c") or hasattr(provider, "client"):  # of others nothing is known here
        listed = type(plain)("Listed", (_Listed, plain), {"known": known})
        provider.get_storage_object_cls = lambda: listed
        for name in ("report_job_success", "report_job_error"):
            setattr(executor, name, _after(known.forget, getattr(executor, name)))
    return known


def _in_parts() -> Any:
    from boto3.s3.transfer import TransferConfig  # not at the top: boto3 is slow to import

    return TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)


def _after(first: Callable[[], None], then: Callable[..., Any]) -> Callable[..., Any]:
    def both(*arguments: Any, **more: Any) -> Any:
        first()
        return then(*arguments, **more)

    return both


def fetch_once(scratch: Path, identity: str, path: Path, fetch: Callable[[], None]) -> None:
    """Have at `path` what `identity` names: from what `scratch` keeps under its SHA-256, else by `fetch`, to keep it.

    Jobs of one user and machine may ask at once: one of them fetches. What is kept is proven by its SHA-256 each time
    that it is taken, and fetched again where it is damaged. It may be removed at any time, and a scratch that cannot be
    used is no reason not to go on.
    """
    with ExitStack() as held:
        try:
            folder = _own(scratch)
            name = f"{hashlib.sha256(identity.encode()).hexdigest()}.kept"
            known = held.enter_context(open(folder / name, "a+b", buffering=0))
            fcntl.flock(known, fcntl.LOCK_EX)
            known.seek(0)
            digest = known.read().decode("ascii", "replace")
        except OSError as error:
            log.warning("%s: nothing is kept there: %s", scratch, error)
            fetch()
            return
        if digest and _taken(folder / digest, digest, path):
            return
        fetch()
        with suppress(OSError, CocomineError):
            digest = sha256_of_file(path)
            with atomic_path(folder / digest) as temporary:
                shutil.copyfile(path, temporary)
            known.truncate(0)
            known.write(digest.encode())


def _own(scratch: Path) -> Path:
    """Return the user's own folder in a scratch. Raises OSError where it is another's, who could choose its bytes."""
    folder = scratch / f"cocomine-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.lstat().st_uid != os.getuid() or folder.is_symlink():
        raise PermissionError(errno.EPERM, "belongs to another user", str(folder))
    return folder


def _taken(kept: Path, digest: str, path: Path) -> bool:
    """Put a copy of a kept file at `path`, whole or not at all; say whether it is as it was kept."""
    with suppress(OSError, CocomineError), atomic_path(path) as temporary:
        shutil.copyfile(kept, temporary)
        if sha256_of_file(temporary) != digest:
            raise OSError(errno.EIO, "damaged", str(kept))
        return True
    return False
