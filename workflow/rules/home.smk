"""Home: where this project lies, and where what it builds lies.

reads   the project itself; where Snakemake reads it from a hosted repository, its commit
writes  nothing, or a checkout of that commit in Snakemake's cache of repositories
"""

import os
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from snakemake.exceptions import WorkflowError


def checked_out(repository, ref, cache):
    """The folder of a commit; of a hosted repository Snakemake itself reads the Snakefiles alone, and jobs run scripts."""
    commit = repository.commit(ref).hexsha
    folder = cache / "cocomine" / commit
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile() as packed, TemporaryDirectory(dir=folder.parent) as made:
            repository.archive(packed, commit)
            packed.seek(0)
            tarfile.open(fileobj=packed).extractall(f"{made}/of", filter="data")
            try:
                os.replace(f"{made}/of", folder)
            except OSError:
                if not folder.is_dir():  # else another Snakemake was faster
                    raise
    return folder


def work_dir():
    """What stands before the path of whatever the rules make: the prefix of a module, and nothing without one."""
    if workflow.modifier.path_modifier.modifies_prefixes:
        raise WorkflowError(
            "cocomine as a module takes `prefix`, and no `replace_prefix`: its folders belong together"
        )
    return str(workflow.modifier.modify_path("x")).removesuffix("x")


WORK_DIR = work_dir()
RULES = workflow.current_basedir
if getattr(RULES, "is_local", True):
    HOME = Path(str(RULES)).parent.parent
else:
    HOME = checked_out(RULES.hosted_repo.repo, RULES.ref, RULES.cache_path)
