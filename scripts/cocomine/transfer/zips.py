"""Members of a zip, wherever it lies, without moving the rest of it."""

import fnmatch
import itertools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path
from cocomine.base.space import require_space
from cocomine.transfer.attempts import (
    AgainError,
    ChangedError,
    CorruptedError,
    LocalError,
    NotServedError,
    persist,
    tried,
)
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.byte_source import ByteSource, FileSource, LazySource, PartSource, SeekableSource
from cocomine.transfer.names import plain
from cocomine.transfer.places import UnseenError
from cocomine.transfer.receiving import Target, in_threads, receive
from cocomine.transfer.records import Facts, Outcome, Want
from cocomine.transfer.unpacking import bomb, inflated

LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # APPNOTE 4.3.7
LOCAL_MAGIC = b"PK\x03\x04"
MOST_HEADER = 30 + 8192  # a local header with its name and extra field; those that are longer are not read
MOST_IN_ONE_REQUEST = 8 << 20
WASTE = 0.02  # of a request's bytes may lie between the members that it is for


@dataclass(frozen=True)
class Member:
    """One member: its place, sizes and CRC-32 as the directory says, and where the next thing in the file begins."""

    name: str
    offset: int
    end: int
    compressed: int
    bytes: int
    crc32: int
    method: int
    encrypted: bool


class Directory:
    """The members of a zip by name."""

    def __init__(self, source: ByteSource) -> None:
        file = SeekableSource(source)
        try:
            with zipfile.ZipFile(file) as archive:
                infos = [info for info in archive.infolist() if not info.is_dir()]
                start = archive.start_dir
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as error:
            raise NotServedError("failed", f"not a zip, or a truncated one: {error}") from error
        offsets = [*sorted({info.header_offset for info in infos}), start]
        following = dict(itertools.pairwise(offsets))
        self.members = {
            info.filename: Member(
                info.filename,
                info.header_offset,
                min(following[info.header_offset], info.header_offset + info.compress_size + MOST_HEADER),
                info.compress_size,
                info.file_size,
                info.CRC,
                info.compress_type,
                bool(info.flag_bits & 1),
            )
            for info in infos
        }
        self._by_last: dict[str, list[str]] = {}
        for name in self.members:
            self._by_last.setdefault(name.rpartition("/")[2], []).append(name)

    def find(self, wanted: str) -> Member | None:
        """Return the member of that name, or the only one whose path ends with it or that it ends with.

        A pattern such as `*.json` finds the only member that matches it. Raises NotServedError when several do.
        """
        if wanted in self.members:
            return self.members[wanted]
        if "*" in wanted:
            found = [name for name in self.members if fnmatch.fnmatchcase(name.rpartition("/")[2], wanted)]
        else:
            found = [
                name
                for name in self._by_last.get(wanted.rpartition("/")[2], [])
                if name.endswith("/" + wanted) or wanted.endswith("/" + name)
            ]
        if len(found) > 1:
            some = ", ".join(map(plain, sorted(found)[:5]))
            raise NotServedError("refused", f"{len(found)} members fit {wanted}: {some}")
        return self.members[found[0]] if found else None


class ZipOrigin:
    """A zip as an origin of files. `opener` gives its bytes, on first use."""

    def __init__(
        self, label: str, opener: Callable[[], ByteSource], behaviour: Behaviour, max_unpack_ratio: int
    ) -> None:
        self.label = label
        self._most = max_unpack_ratio
        self._opener = opener
        self._behaviour = behaviour
        self._source: ByteSource | None = None
        self._directory: Directory | None = None

    def _bytes(self) -> ByteSource:
        if self._source is None:
            try:
                self._source = self._opener()
            except NotServedError as error:
                raise CocomineError(f"{self.label}: {error}", "check the address, or add another origin") from error
        return self._source

    def _open(self) -> tuple[ByteSource, Directory]:
        source = self._bytes()
        while self._directory is None:
            try:
                self._directory = persist(self._behaviour, lambda: Directory(source))
            except NotServedError as error:
                if not (isinstance(source, LazySource) and not source.unseen and source.discard()):
                    raise CocomineError(f"{self.label}: {error}", "check the address, or add another origin") from error
        return source, self._directory

    @property
    def unseen(self) -> int:
        """Bytes that must be moved before the directory can be read: 0 where it can be read by ranges, or is here."""
        source = self._bytes()
        return source.unseen if isinstance(source, LazySource) else 0

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Return what the directory says of sizes. Raises UnseenError when the zip would have to be fetched first."""
        if self.unseen:
            raise UnseenError(self.label, self.unseen)
        _, directory = self._open()
        result: dict[str, Facts] = {}
        for name in names:
            try:
                member = directory.find(name)
            except NotServedError:
                continue
            if member is not None:
                result[name] = Facts(name, member.bytes, etag=version_of(member))
        return result

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch members: neighbours by one request, each verified by its CRC-32 and size.

        Where members of a zip that was fetched whole are damaged, it is fetched again, unless it comes the same.
        """
        left = list(wants)
        while left:
            damaged: list[Outcome] = []
            for outcome in self._fetch(left, target):
                if outcome.status == "failed" and outcome.reason.startswith("corrupted"):
                    damaged.append(outcome)
                else:
                    yield outcome
            source = self._bytes()
            if damaged and isinstance(source, LazySource) and source.discard():
                self._directory = None
                names = {outcome.name for outcome in damaged}
                left = [want for want in left if want.name in names]
            else:
                yield from damaged
                return

    def _fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        source, directory = self._open()
        chosen: list[tuple[Want, Member]] = []
        for want in wants:
            try:
                member = directory.find(want.remote)
            except NotServedError as error:
                yield Outcome(want.name, "refused", str(error))
                continue
            if member is None:
                yield Outcome(want.name, "missing", "no such member in the zip")
            elif member.encrypted:
                yield Outcome(want.name, "refused", "the member is encrypted")
            elif member.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                yield Outcome(want.name, "refused", f"compressed by method {member.method}")
            elif reason := bomb(member.compressed, member.bytes, self._most):
                yield Outcome(want.name, "refused", reason)
            else:
                chosen.append((want, member))
        require_space(target.root, sum(member.bytes for _, member in chosen), f"what is taken out of {self.label}")
        threads = target.behaviour.threads
        for outcomes in in_threads(lambda group: self._group(source, group, target), grouped(chosen), threads):
            yield from outcomes

    def _group(self, source: ByteSource, group: list[tuple[Want, Member]], target: Target) -> list[Outcome]:
        """Fetch neighbours by one stream; after a fault go on by one request for each that is left."""
        outcomes: list[Outcome] = []
        if len(group) > 1:
            try:
                reader = Reader(source, group[0][1].offset, group[-1][1].end)
                for want, member in group:
                    reader.go_to(member.offset)
                    outcomes.append(_receive(reader, want, member, target))
                reader.go_to(group[-1][1].end)
                reader.close()
            except LocalError:
                raise
            except (AgainError, ChangedError, CorruptedError, NotServedError, OSError):
                pass
        for want, member in group[len(outcomes) :]:
            outcomes.append(self._single(source, want, member, target))
        return outcomes

    def _single(self, source: ByteSource, want: Want, member: Member, target: Target) -> Outcome:
        def attempt() -> Outcome:
            reader = Reader(source, member.offset, member.end)
            try:
                outcome = _receive(reader, want, member, target)
                reader.go_to(member.end)  # the last few bytes, so that the connection can serve again
                return outcome
            finally:
                reader.close()

        lazy = isinstance(source, LazySource)  # what is damaged there comes the same from the disk
        return tried(want.name, attempt, replace(target.behaviour, tries=1) if lazy else target.behaviour)

    def nested(self, member_name: str, folder: Path) -> ByteSource:
        """Return the bytes of a zip that is a member of this one.

        One that is stored is read through; one that is compressed is extracted into `folder`, on first use.
        """
        if self.unseen:
            return LazySource(
                self.unseen, lambda: not self.unseen, lambda: self.nested(member_name, folder), self._discard
            )
        source, directory = self._open()
        member = directory.find(member_name)
        if member is None:
            raise NotServedError("missing", f"no member {member_name} in the zip")
        if member.method == zipfile.ZIP_STORED:
            reader = Reader(source, member.offset, member.end)
            start = member.offset + _skip_header(reader)
            reader.close()
            return PartSource(source, start, member.compressed)
        if reason := bomb(member.compressed, member.bytes, self._most):
            raise NotServedError("refused", reason)
        path = folder / f"{Path(member_name).stem}.{member.crc32:08x}-{member.bytes}.zip"

        extracted = False

        def discard() -> bool:
            if not extracted:  # it was damaged on this disk since
                path.unlink(missing_ok=True)
            return not extracted

        def bring() -> ByteSource:
            nonlocal extracted
            if not path.exists():
                extracted = True
                require_space(folder, member.bytes, f"{member_name}, unpacked,")
                persist(self._behaviour, lambda: self._extract(source, member, path))
            return FileSource(path)

        return LazySource(member.compressed, path.exists, bring, discard)

    def _discard(self) -> bool:
        source, self._directory = self._bytes(), None
        return isinstance(source, LazySource) and source.discard()

    @staticmethod
    def _extract(source: ByteSource, member: Member, path: Path) -> None:
        reader = Reader(source, member.offset, member.end)
        _skip_header(reader)
        with atomic_path(path) as temporary, open(temporary, "wb") as out:
            for piece in _content(reader, member):
                out.write(piece)


class Reader:
    """Reads a stream of a source's bytes forward."""

    def __init__(self, source: ByteSource, start: int, end: int) -> None:
        self.position = start
        self.end = end
        self._stream = source.stream(start, end - start)
        self._held = memoryview(b"")

    def take(self, count: int) -> Iterator[memoryview]:
        """Yield the next `count` bytes in pieces."""
        while count:
            if not self._held:
                try:
                    self._held = memoryview(next(self._stream))
                except StopIteration as error:
                    raise CorruptedError("the member is longer than the directory says") from error
            piece = self._held[:count]
            self._held = self._held[len(piece) :]
            self.position += len(piece)
            count -= len(piece)
            yield piece

    def exactly(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        return b"".join(self.take(count))

    def go_to(self, position: int) -> None:
        """Skip forward."""
        for _ in self.take(position - self.position):
            pass

    def close(self) -> None:
        """Drop what was asked for and not read."""
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()


def grouped(chosen: Iterable[tuple[Want, Member]]) -> list[list[tuple[Want, Member]]]:
    """Gather members that lie side by side, so that one request fetches them with next to nothing between."""
    groups: list[list[tuple[Want, Member]]] = []
    gaps = 0
    for want, member in sorted(chosen, key=lambda pair: pair[1].offset):
        if groups:
            group = groups[-1]
            first, last = group[0][1], group[-1][1]
            gap = member.offset - last.end
            span = member.end - first.offset
            if gap >= 0 and gaps + gap <= span * WASTE and span <= MOST_IN_ONE_REQUEST:
                group.append((want, member))
                gaps += gap
                continue
        groups.append([(want, member)])
        gaps = 0
    return groups


def version_of(member: Member) -> str:
    """Return what names the version of a member: its CRC-32 and size, which the directory pins."""
    return f"crc32:{member.crc32:08x}"


def _receive(reader: Reader, want: Want, member: Member, target: Target) -> Outcome:

    _skip_header(reader)
    pinned = msgspec.structs.replace(want, bytes=member.bytes, etag=version_of(member))
    return receive(pinned, _content(reader, member), target)


def _skip_header(reader: Reader) -> int:
    """Pass the local header, whose extra field may be another than the directory's; return its length."""
    fields = LOCAL_HEADER.unpack(reader.exactly(LOCAL_HEADER.size))
    if bytes(fields[0]) != LOCAL_MAGIC:
        raise CorruptedError("corrupted: no member begins where the directory says")
    name_length, extra_length = fields[9], fields[10]
    reader.exactly(name_length + extra_length)
    return LOCAL_HEADER.size + int(name_length) + int(extra_length)


def _content(reader: Reader, member: Member) -> Iterator[bytes]:
    """Yield a member's bytes, uncompressed. Raises CorruptedError when its CRC-32 or size is not the directory's."""
    crc, count = 0, 0
    packed = reader.take(member.compressed)
    try:
        for piece in inflated(packed) if member.method == zipfile.ZIP_DEFLATED else map(bytes, packed):
            crc = zlib.crc32(piece, crc)
            count += len(piece)
            if count > member.bytes:
                break  # never write more than was announced
            yield piece
        for _ in packed:  # what follows the end of a stream that ended early
            pass
    except zlib.error as error:
        raise CorruptedError(f"corrupted: {error}") from error
    if (crc, count) != (member.crc32, member.bytes):
        raise CorruptedError(f"corrupted: {count} bytes of crc32 {crc:08x}, not {member.bytes} of {member.crc32:08x}")
