"""Programs and predictions in the graph: what would run, for a command that Snakemake would take for a format."""

from pathlib import Path

import yaml
from helpers.shared import ROOT
from helpers.workflow import planned


def test_a_program_of_two_seeds_is_run_judged_and_compared_whatever_braces_its_command_has(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "config/examples/judge-detection.yaml").read_text(encoding="utf-8"))
    config["experiments"]["degraded"]["command"] += " && echo '{wildcards.none} {{x}} {input}'"
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    jobs = planned(tmp_path, "--configfile", str(tmp_path / "c.yaml"))
    assert {name: jobs[name] for name in ("run_program", "evaluate_predictions", "compare_predictions")} == {
        "run_program": 2,
        "evaluate_predictions": 2,
        "compare_predictions": 1,
    }
    assert jobs["export_dataset"] == 1


def test_labels_are_held_against_the_masks_of_each_seed_before_the_report(tmp_path: Path) -> None:
    jobs = planned(tmp_path, "--configfile", str(ROOT / "config/examples/judge-instances.yaml"))
    assert (jobs["find_label_errors"], jobs["render_report"]) == (2, 1)
