"""cocomine: mine reproducible, task-specific datasets out of MS COCO.

This page is the whole pipeline: the config that says what to build, the stages that build it, and what is built. Each
stage is a rule file in workflow/rules, each rule a script of the same name in scripts. config/README.md lists the keys.
"""

import atexit
import gc
import shlex
import sys
import time
from pathlib import Path

from snakemake.logging import logger
from snakemake.utils import min_version, update_config

min_version("9.27")

HOME = Path(str(workflow.current_basedir))

# Only where no --configfile is given: Snakemake would merge it with the user's, and the demo would run beside it.
if not workflow.configfiles:

    configfile: str(HOME / "config" / "config.yaml")


sys.path.insert(0, str(HOME / "scripts"))

from cocomine.base import slurm
from cocomine.base.command import RetriesOfMistakes, advice_of_failed_jobs
from cocomine.base.yaml_file import given_on_command_line, read_config
from cocomine.base.commands import record, remember
from cocomine.configuration.plan import make_plan
from cocomine.imports.folder import told as told_of_imports
from cocomine.mining.losses import told
from cocomine.configuration.settings_files import write_settings

# What a plan is made of lives to its end: looking through thousands of jobs for garbage is a seventh of planning them.
gc.set_threshold(100_000, 50, 100)

STARTED = time.time()
COMMANDS = remember(HOME, sys.argv[1:], Path(workflow.rundir))
for path in workflow.configfiles:
    read_config(Path(path))

# What --config says: Snakemake reads every value inside a mapping as text, also a number.
for said in workflow.config_settings.config_args or []:
    update_config(config, given_on_command_line(said))

plan = make_plan(config)


wildcard_constraints:
    source=plan.pattern(plan.sources),
    store=plan.pattern(plan.stores),
    subset=plan.pattern(plan.subsets),
    run=plan.pattern(plan.runs),
    comparison=plan.pattern(plan.comparisons),
    prediction=plan.pattern(plan.predictions),
    review=plan.pattern(plan.reviews),
    program=plan.pattern(plan.programs),


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


if any(source.synthetic for source in plan.used_sources):

    include: "workflow/rules/synthetic.smk"


if any(source.labels for source in plan.used_sources):

    include: "workflow/rules/imports.smk"


include: "workflow/rules/sources.smk"
include: "workflow/rules/annotations.smk"


if any(source.parts for source in plan.used_sources):

    include: "workflow/rules/merging.smk"


include: "workflow/rules/matching.smk"
include: "workflow/rules/mining.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/splits.smk"
include: "workflow/rules/masks.smk"
include: "workflow/rules/tensors.smk"
include: "workflow/rules/formats.smk"


if plan.runs:

    include: "workflow/rules/learning.smk"


if plan.predictions or plan.programs:

    include: "workflow/rules/evaluation.smk"


include: "workflow/rules/reporting.smk"
include: "workflow/rules/provenance.smk"


# A dry run says it too: what is named and not there.
if workflow.is_main_process:
    from cocomine.configuration.places import mistakes_on_disk

    for mistake in mistakes_on_disk(plan):
        print(f"warning: {mistake.message}\nHint: {mistake.hint}\n", file=sys.stderr)


# A dry run writes nothing; a job that runs on another machine may have to write its settings itself.
if not workflow.is_main_process:
    write_settings(plan.settings_files.values(), sweep=False)


logger.addHandler(
    RetriesOfMistakes(
        lambda rule: setattr(workflow.get_rule(rule), "restart_times", 0), STARTED
    )
)


onstart:
    record()
    if workflow.executor_plugin.name == "slurm":
        slurm.require_slurm()
        slurm.look_in_proportion(workflow.executor_plugin.executor)
    if left := slurm.cancel_left_behind(Path()):
        print(
            f"cancelled what a run that was killed had left in Slurm's queue: {' '.join(left)}"
        )
    write_settings(plan.settings_files.values(), sweep=True)


# What to do comes at the very end, after all that Snakemake says.
onsuccess:
    asked = workflow.dag_settings
    whole = not (asked.targets or asked.until or asked.omit_from)
    imports = (
        Path("data/imports", one.name) for one in plan.used_sources if one.labels
    )
    lost = told_of_imports(imports)
    lost += told(Path(subset.folder) for subset in plan.subsets.values())
    old = left_over(results(), Path())
    forgotten = (
        [f"left from earlier configs; remove with: rm -r {shlex.join(old)}"]
        if old
        else []
    )
    atexit.register(
        print, "\n".join(["", *lost, *forgotten, COMMANDS.closing(whole)])
    )


onerror:
    ended = slurm.advice_of_ended_jobs(slurm.read(log), Path())
    advice = "\n".join(["", *advice_of_failed_jobs(Path("logs"), STARTED, ended)])
    atexit.register(print, advice, file=sys.stderr)


rule all:
    default_target: True
    input:
        locks=[source.lock for source in plan.used_sources],
        results=results(),
