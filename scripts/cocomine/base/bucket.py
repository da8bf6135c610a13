"""A job whose files lie in a bucket, or below a prefix: it goes to where they lie here, and folders travel as one file.

Storage of objects knows no folders, asks for each file by itself and forgets empty ones: a folder is therefore one
uncompressed tar there, of names from the folder of the build, and a folder again where a job reads it.
"""

import argparse
import fcntl
import os
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path
from cocomine.base.folder import put_in_place
from cocomine.base.staging import INCOMPLETE, staging

WORK_DIR = "--work-dir"
END = "--end-of-files"
TAR = ".tar"
END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)


def in_work_dir(arguments: Sequence[str]) -> tuple[list[str], list[Path], list[Path]]:
    """Go where a build lies; return a job's arguments as seen from there, tars to unpack first, folders to pack last.

    Arguments that begin with `--work-dir DIR [--unpack TAR…] [--pack TAR…] --end-of-files` name files from outside.
    Seen from inside they are what they are where a build lies in the working directory: so no script knows of a prefix
    or of a bucket, and none gets into a lock. A tar that is named among the others becomes the folder that it holds.
    """
    if list(arguments[:1]) != [WORK_DIR]:
        return list(arguments), [], []
    end = arguments.index(END)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(WORK_DIR)
    parser.add_argument("--unpack", nargs="*", default=[])
    parser.add_argument("--pack", nargs="*", default=[])
    given = parser.parse_args(arguments[:end])
    outside = given.work_dir.rstrip(os.sep) + os.sep
    Path(outside).mkdir(parents=True, exist_ok=True)
    os.chdir(outside)
    tars = {*given.unpack, *given.pack}
    words = [word.removesuffix(TAR) if word in tars else word for word in arguments[end + 1 :]]
    unpacked = [Path(tar.removeprefix(outside)) for tar in given.unpack]
    packed = [Path(tar.removeprefix(outside).removesuffix(TAR)) for tar in given.pack]
    return [word.removeprefix(outside) for word in words], unpacked, packed


def pack(tar: Path, paths: Iterable[Path]) -> None:
    """Write a tar of files and folders (with all that they hold), the same bytes for the same content."""
    with atomic_path(tar) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as out:
        for path in paths:
            for one in sorted([path, *path.rglob("*")] if path.is_dir() else [path]):
                member = tarfile.TarInfo(one.as_posix())
                if one.is_dir():
                    member.type, member.mode = tarfile.DIRTYPE, 0o755
                    out.addfile(member)
                else:
                    with open(one, "rb") as content:
                        member.size = os.fstat(content.fileno()).st_size
                        out.addfile(member, content)


def unpack(tar: Path) -> None:
    """Lay down what a tar holds, below the working directory; nothing where it was laid down before.

    Jobs on one machine may ask for the same tar at once: one of them unpacks it. The folder of its name, if there is
    one, is what it was packed of and is replaced; what else it holds is laid beside what is there. Each is there in one
    step, since tars of two subsets hold the same photographs, and another job may be reading them. Raises CocomineError
    for a tar that is damaged.
    """
    status, folder = tar.stat(), tar.with_suffix("")
    state = f"{status.st_size} {status.st_mtime_ns}"
    with open(tar.with_suffix(".unpacked"), "a+", encoding="utf-8") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        mark.seek(0)
        if mark.read() == f"{state} {folder.is_dir()}":
            return
        try:
            with staging(tar.parent / INCOMPLETE) as own, tarfile.open(tar, "r:") as packed:
                _check_end(tar)
                (everything := own / "all").mkdir()
                packed.extractall(everything, filter=_fit)  # noqa: S202 - held to what `pack` writes
                if (made := everything / folder).is_dir():
                    (own / "folder").mkdir()
                    put_in_place(made.rename(own / "folder" / folder.name), folder, own)
                _lay(everything, Path())
        except tarfile.TarError as error:
            hint = "delete it where the build's files are kept, and run the same command again"
            raise CocomineError(f"{tar}: no folder that a job packed, or a damaged one: {error}", hint) from error
        mark.truncate(0)
        mark.write(f"{state} {folder.is_dir()}")


def _fit(member: tarfile.TarInfo, _: str) -> tarfile.TarInfo:
    """Return a member that may be laid down: a file or a folder, as `pack` writes, since a link may lead anywhere.

    It is held to where it is laid in the end, where a link that lies there already may lead out of the build.
    """
    if not (member.isreg() or member.isdir()):
        raise tarfile.SpecialFileError(member)
    return tarfile.data_filter(member, os.curdir)


def _lay(made: Path, place: Path) -> None:
    """Move what is in a folder to where it belongs, beside what is there."""
    for one in made.iterdir():
        if one.is_dir() and not one.is_symlink():
            (place / one.name).mkdir(exist_ok=True)
            _lay(one, place / one.name)
        else:
            one.replace(place / one.name)


def _check_end(tar: Path) -> None:
    """Raise tarfile.ReadError for a tar without its end, which tarfile takes for whole where it is cut in a header."""
    with open(tar, "rb") as content:
        if content.seek(0, os.SEEK_END) % tarfile.RECORDSIZE == 0:
            content.seek(-len(END_OF_TAR), os.SEEK_END)
            if content.read() == END_OF_TAR:
                return
    raise tarfile.ReadError("it is cut short")
