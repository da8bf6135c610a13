"""The image that every job runs in with `--software-deployment-method apptainer`, as `COCOMINE_IMAGE` names it."""

import re
from pathlib import Path

from cocomine.base.errors import CocomineError

# Snakemake hands the name to a shell as it is, and takes {…} in it for a wildcard.
_UNFIT = re.compile(r"^-|[^\w@%+=:,./-]")


def image_of_jobs(named: str, asked: bool) -> str:
    """Return the image that is `named`, a file or an address; empty for none. `asked`: jobs shall run in it.

    Raises CocomineError where the name cannot be handed on, and where jobs shall run in an image that is not there.
    """
    if unfit := _UNFIT.search(named):
        raise CocomineError(
            f"COCOMINE_IMAGE: {named!r} holds {unfit[0]!r}, which a shell would not take as part of a name",
            "name a file (or a link to it) or an address of letters, digits and _@%+=:,./- that begins with no dash",
        )
    if asked and not named:
        raise CocomineError(
            "--software-deployment-method apptainer: COCOMINE_IMAGE names no image, and jobs would run outside of any",
            "export COCOMINE_IMAGE=/path/to/cocomine.sif (how it is made: docs/cluster.md), or leave the option out",
        )
    file = named.removeprefix("file://")
    if asked and "://" not in file and not Path(file).exists():
        raise CocomineError(f"COCOMINE_IMAGE: {named} is not there", f"give its path in full, or from {Path.cwd()}")
    return named
