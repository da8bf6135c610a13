"""What a build makes: the outputs that its rules declare, for every subset, run and comparison of the plan.

The rules are the one place where an output's name stands. What is locked, what the plain command asks for, and which
rule makes a file follow from their patterns.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cocomine.configuration.plan import Plan

Names = dict[str, str]

MARKS = (
    "results/*/selection.tsv",
    "results/experiments/*/training.json",
    "results/experiments/*/program.json",
    "results/comparisons/*/comparison.json",
    "results/predictions/*/metrics.json",
    "results/label_errors/*/label_errors.json",
)
"""Files by which a folder is known as one that was made here, and not the user's own."""

COMPARED = ("results/experiments/comparison.*", "results/predictions/comparison.*")
"""What is made of several runs, beside their folders."""

WILDCARD = re.compile(r"{(\w+)}")


def instances(plan: Plan, wildcards: frozenset[str]) -> list[Names]:
    """Return the values that a rule's wildcards take together; one empty mapping for a rule that has none.

    A rule with other wildcards than the rules so far needs a line here; it raises KeyError without one.
    """
    subsets, runs = plan.subsets.values(), plan.runs.values()
    known: dict[frozenset[str], list[Names]] = {
        frozenset(): [{}],
        frozenset({"source"}): [{"source": source.name} for source in plan.used_sources],
        frozenset({"source", "task", "split"}): [
            {"source": source.name, "task": task, "split": split}
            for source in plan.used_sources
            for task, split in source.files
        ],
        frozenset({"subset"}): [{"subset": subset.name} for subset in subsets],
        frozenset({"subset", "format"}): [
            {"subset": subset.name, "format": name} for subset in subsets for name in subset.formats
        ],
        frozenset({"subset", "size"}): [
            {"subset": subset.name, "size": str(subset.tensor_size)} for subset in plan.packed_subsets
        ],
        frozenset({"run"}): [{"run": run.name} for run in runs],
        frozenset({"run", "subset"}): [
            {"run": run.name, "subset": subset.name} for run in runs for subset in run.evaluated_on
        ],
        frozenset({"comparison"}): [{"comparison": name} for name in plan.comparisons],
        frozenset({"program"}): [{"program": name} for name in plan.programs],
        frozenset({"prediction"}): [{"prediction": name} for name in plan.predictions],
        frozenset({"review"}): [{"review": name} for name in plan.reviews],
    }
    return known[wildcards]


def outputs_of(plan: Plan, patterns: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the outputs of each rule that takes part in a build; `patterns` are the rules' own, `{subset}` and all."""
    result = {
        rule: [pattern.format_map(names) for names in instances(plan, _wildcards(listed)) for pattern in listed]
        for rule, listed in patterns.items()
        if listed
    }
    return {rule: outputs for rule, outputs in result.items() if outputs}


def left_over(outputs: Sequence[str], root: Path) -> list[str]:
    """Return what was made below `root` for subsets, runs and comparisons which the plan does not have: folders, and
    the files that compare runs.
    """
    made = [file.parent for mark in MARKS for file in root.glob(mark)]
    made += [file for pattern in COMPARED for file in root.glob(pattern)]
    names = (path.relative_to(root).as_posix() for path in made)
    return sorted(name for name in names if not any(f"{path}/".startswith(f"{name}/") for path in outputs))


def _wildcards(patterns: Sequence[str]) -> frozenset[str]:
    return frozenset(name for pattern in patterns for name in WILDCARD.findall(pattern))
