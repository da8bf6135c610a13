"""A copy of a checkpoint in a folder or bucket that outlives the machine, for a run that goes on elsewhere."""

import logging
import re
import shutil
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path
from cocomine.transfer.attempts import NotServedError, persist
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.bucket_sync import SyncOptions
from cocomine.transfer.listing import Filter
from cocomine.transfer.origins import open_place
from cocomine.transfer.publishing import upload
from cocomine.transfer.receiving import Target
from cocomine.transfer.records import Want
from cocomine.transfer.settings import OriginSettings
from cocomine.transfer.staging import staging

log = logging.getLogger("cocomine")

BEHAVIOUR = Behaviour(tries=3)


class Away:
    """The copy of the file `path` in `place`: a folder, gs://bucket/prefix or s3://bucket/prefix."""

    def __init__(self, place: str, path: Path) -> None:
        self.settings = OriginSettings(place)
        self.path = path
        self.beside = None if "://" in place else Path(place, path.name)  # the copy in a folder

    def send(self) -> None:
        """Replace the copy by the file, or remove it where there is no file any more, as one step.

        A place that cannot be reached is no reason to stop training: a warning says so.
        """
        try:
            self._send()
        except (CocomineError, NotServedError, OSError) as error:
            log.warning("the checkpoint could not be copied to %s: %s", self.settings.url, error)

    def _send(self) -> None:
        url, there = self.settings.url, self.path.exists()
        if self.beside is not None:
            if there:
                _copy(self.path, self.beside)
            else:
                self.beside.unlink(missing_ok=True)
        elif url.startswith("gs://"):
            names = Filter.of([], [re.escape(self.path.name) + "$"])
            how = SyncOptions(BEHAVIOUR, delete=not there, allow_empty=not there, names=names)
            upload(self.path.parent, self.settings, how)
        else:
            from cocomine.transfer.s3_origin import S3  # not at the top: boto3 is slow to import

            s3 = S3(self.settings, BEHAVIOUR)
            key = f"{s3.prefix.rstrip('/')}/{self.path.name}".lstrip("/")
            content = {"Body": self.path.read_bytes()} if there else {}
            persist(BEHAVIOUR, lambda: s3.ask("put_object" if there else "delete_object", key, **content))

    def fetch(self) -> None:
        """Bring the copy, where this machine has no checkpoint of its own.

        Raises CocomineError where the place cannot be asked: training from the start would cost what the copy is for.
        """
        folder = self.path.parent
        if self.path.exists():
            return
        if self.beside is not None:
            if self.beside.exists():
                _copy(self.beside, self.path)
            return
        folder.mkdir(parents=True, exist_ok=True)
        with staging(folder) as staged:
            target = Target(folder, staged, lambda _count: None, BEHAVIOUR)
            place = open_place(self.settings, BEHAVIOUR, folder)
            (outcome,) = place.fetch([Want(self.path.name, self.path.name)], target)
        if outcome.status not in ("ok", "missing"):
            raise CocomineError(
                f"{self.settings.url}: whether it has a checkpoint of this run is not known: {outcome.reason}",
                "run it again once it can be reached, or leave train.checkpoint_copy out to train from the start",
            )


def _copy(source: Path, destination: Path) -> None:
    with atomic_path(destination) as temporary:
        shutil.copyfile(source, temporary)
