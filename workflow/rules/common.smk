"""What the stages share: where a script lies, the digest of the code that it runs, where first checksums are kept, and
which file holds the settings of a job.

reads   scripts/
writes  nothing
"""

import os
import re
from contextlib import suppress
from functools import partial

from cocomine.configuration.needs import NEEDS, images_of
from cocomine.configuration.targets import left_over, outputs_of
from cocomine.provenance.digests import code_digest
from snakemake.common import get_function_params, overwrite_function_params
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

LOCK = "results/build.lock.json"

# The threads of a step that treats images one by one: as many as `--cores` gives it.
ALL_CORES = 1024


def script(rule):
    """The words that start the script of a rule. They hold places, which must not make a job run again: Snakemake
    compares no parameter whose function asks for an output.
    """
    return partial(start_of, rule)


def start_of(rule, wildcards, input, output):
    start = [str(HOME / "scripts" / f"{rule}.py")]
    if not WORK_DIR:
        return start
    unpacked, packed = (
        [path for path in paths if path.endswith(TAR)] for paths in (input, output)
    )
    packed = [path for path in packed if f"{WORK_DIR}{COPIES}" not in path]
    tars = ["--unpack", *unpacked, "--pack", *packed]
    return [*start, "--work-dir", WORK_DIR, *tars, "--end-of-files"]


# Where outputs go to a bucket, a folder is one tar; and what is otherwise undeclared (photographs, annotation files) goes
# there as a copy, which each job that needs it lays down where it runs.

BUCKET = workflow.storage_settings.default_storage_provider is not None
if BUCKET:
    objects.ask_once(
        workflow.storage_registry.default_storage_provider,
        workflow.storage_settings.default_storage_prefix or "",
        RemoteExecutor,
    )
TAR = ".tar"
COPIES = "data/travelling/"
FOLDERS = []


def folder(path):
    """A folder as output of a rule."""
    FOLDERS.append(re.sub(r"{\w+}", "[^/]+", path))
    return f"{path}{TAR}" if BUCKET else directory(path)


def made(path):
    """Outputs of rules as input of another: those that are folders as they travel."""
    if isinstance(path, str):
        is_folder = any(re.fullmatch(one, path) for one in FOLDERS)
        return f"{path}{TAR}" if BUCKET and is_folder else path
    return [made(one) for one in path]


def copies(kind, names):
    """Copies of undeclared files: outputs of the rule that brings them, inputs of those that read them."""
    return [f"{COPIES}{kind}/{name}{TAR}" for name in names if BUCKET]


def photographs(*subsets):
    """The photographs of subsets, for a job that opens them."""
    return copies("photographs", subsets)


def annotation_files(*sources):
    """The annotation files of sources, for a job that reads them."""
    return copies("annotations", sources)


def index_files(manifests):
    """The files of indexes, by the indexes' manifests; or their folders as they travel."""
    if BUCKET:
        return [f"{Path(manifest).parent}{TAR}" for manifest in manifests]
    names = ("index.json", "images.parquet", "annotations.parquet")
    return [
        f"{Path(manifest).parent}/{name}" for manifest in manifests for name in names
    ]


def of_subset(*names):
    """Files of a subset that a script finds in the subset's folder."""
    return [made(f"results/{{subset}}/{name}") for name in names]


def code(rule):
    return code_digest(HOME / "scripts" / f"{rule}.py")


def pins(kind, source):
    name = source.name if kind == "annotations" else source.store.name
    drawn = any(one.synthetic for one in (source, *source.parts))
    made = source.bucket if kind == "annotations" else drawn
    return [] if made else ["--pins", f"data/locks/{kind}/{name}.jsonl"]


def parts(source):
    return ["--parts", plan.settings("parts", source.name)] if source.parts else []


def settings(section, wildcard):
    return lambda wildcards: plan.settings(section, wildcards[wildcard])


def patterns():
    """The outputs of every rule so far, wildcards and all but what constrains these."""
    return {
        name: [
            re.sub(r"{(\w+),[^{}]*}", r"{\1}", output).removeprefix(WORK_DIR)
            for output in one.rule.output
        ]
        for name, one in rules._rules.items()
    }


def results():
    """What the build makes below results/, folders as they travel."""
    made = outputs_of(plan, patterns()).values()
    return [
        output
        for outputs in made
        for output in outputs
        if output.startswith("results/")
    ]


def locked():
    """The results that the lock holds: all but itself, and what is made of it."""
    reads_lock = [
        name
        for name, one in rules._rules.items()
        if f"{WORK_DIR}{LOCK}" in map(str, one.rule.input)
    ]
    later = outputs_of(plan, {name: patterns()[name] for name in reads_lock})
    return [path for path in results() if path not in {LOCK, *sum(later.values(), [])}]


def scripts_that_run():
    """The scripts of the rules that take part in the build."""
    taking_part = outputs_of(plan, patterns())
    return sorted(
        {
            one.rule.params.script.args[0]
            for name, one in rules._rules.items()
            if name in taking_part
        }
    )


def tell_signatures():
    """Write down what the functions of rules take, which Snakemake finds out three times for every job."""
    for one in rules._rules.values():
        evaluations = (
            resource.evaluate.__func__ for resource in one.rule.resources.values()
        )
        for item in (*one.rule.input, *one.rule.params, *evaluations):
            function = getattr(item, "callable", None) or item
            if callable(function):
                # A workflow that includes this one may have functions that take no attribute, such as `len`.
                with suppress(AttributeError, TypeError, ValueError):
                    overwrite_function_params(function, get_function_params(function))


# What a job asks of a cluster grows with its size and with each attempt: a job that was killed for memory or time is tried
# again with more of both (`retries` of the profile). A rule that shares a job with others (`groups` of the profile) asks by
# the number of images, which is known when its inputs are not there yet; another may ask by the size of its inputs.


def memory_for(rule):
    return lambda wildcards, attempt, threads: attempt * NEEDS[rule].mb_for(
        images_of(plan, dict(wildcards.items())), threads
    )


def time_for(rule):
    return lambda wildcards, attempt: attempt * NEEDS[rule].minutes_for(
        images_of(plan, dict(wildcards.items()))
    )


def need(base_mb, mb_per_input_mb):
    return lambda wildcards, input, attempt: attempt * int(
        base_mb + mb_per_input_mb * megabytes(input)
    )


def megabytes(input):
    """The size of inputs as Snakemake knows it, which starts an event loop for each: not for those of a job to come."""
    return input.size_mb if BUCKET or any(map(os.path.exists, input)) else 0


def minutes(base):
    return lambda wildcards, attempt: attempt * base
