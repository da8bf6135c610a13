"""What a run measured, as MLflow and Weights & Biases get it: out of its own files, every step and figure."""

import json
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import log_run
import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import sha256_of_file
from cocomine.evaluation.tracking import read_folder
from helpers.peers import told_by
from helpers.shared import ROOT

METRICS = {
    "run": {"run": "baseline"},
    "images": 12,
    "training_resolution": {
        "iou": {"mean_foreground": 0.5, "per_class": {"traffic light (red)": 0.25, "dog": None}},
        "confusion": [[1, 2], [3, 4]],
        "intervals": {"mean_foreground": [0.4, 0.6]},
        "calibration": {"ece": 0.1, "bins": [{"from": 0.0}], "finding": "fine"},
    },
    "full_resolution": None,
    "slices": {"mean_error": 0.5},
}
FIGURES = {
    "on-animals/images": 12.0,
    "on-animals/training_resolution/iou/mean_foreground": 0.5,
    "on-animals/training_resolution/iou/per_class/traffic light _red_": 0.25,
    "on-animals/training_resolution/intervals/mean_foreground/low": 0.4,
    "on-animals/training_resolution/intervals/mean_foreground/high": 0.6,
    "on-animals/training_resolution/calibration/ece": 0.1,
}
STEPS = [(20, {"train_loss": 0.9}), (40, {"train_loss": 0.7, "val_iou": 0.3})]


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "baseline"
    (folder / "on-animals").mkdir(parents=True)
    settings = {"seed": 3, "train": {"batch": 16, "schedule": "cosine"}}
    (folder / "training.json").write_text(json.dumps({"settings": settings}))
    (folder / "history.csv").write_text("iteration,train_loss,val_iou\n20,0.9,\n40,0.7,0.3\n")
    (folder / "on-animals/metrics.json").write_text(json.dumps(METRICS))
    (tmp_path / "build.lock.json").write_text("{}")
    return folder


def test_every_step_figure_and_setting_is_read(run, tmp_path):
    logged = read_folder(run, tmp_path / "build.lock.json")
    assert logged.name == "baseline"
    assert logged.parameters == {"seed": "3", "train.batch": "16", "train.schedule": "cosine"}
    assert logged.steps == STEPS
    assert logged.figures == FIGURES
    assert logged.tags == {"build_lock_sha256": sha256_of_file(tmp_path / "build.lock.json")}


def test_a_folder_of_predictions_has_figures_alone(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"kind": "boxes", "all": {"AP": 0.25, "AP_small": None}}))
    logged = read_folder(tmp_path)
    assert (logged.steps, logged.figures) == ([], {"all/AP": 0.25})


def test_a_folder_without_figures_is_named(tmp_path):
    with pytest.raises(CocomineError, match="neither"):
        read_folder(tmp_path)


def main(*arguments):
    return log_run.main(log_run.build_parser().parse_args(list(map(str, arguments))))


def test_weights_and_biases_gets_all_of_it(run, monkeypatch, capsys):
    told = {"steps": [], "summary": {}}

    @contextmanager
    def init(**options):
        told["options"] = options
        summary = SimpleNamespace(update=told["summary"].update)
        yield SimpleNamespace(log=lambda figures, step: told["steps"].append((step, figures)), summary=summary)

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    assert main(run, "--tracker", "wandb", "--project", "animals", "--where", "out") == 0
    assert told["options"]["project"] == "animals"
    assert told["options"]["name"] == "baseline"
    assert (told["options"]["mode"], told["options"]["dir"]) == ("offline", "out")
    assert told["options"]["config"]["train.batch"] == "16"
    assert (told["steps"], told["summary"]) == (STEPS, FIGURES)
    assert "2 steps, 6 figures" in capsys.readouterr().out


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_an_error_with_the_remedy(run, monkeypatch, tracker):
    monkeypatch.setitem(sys.modules, tracker, None)
    with pytest.raises(CocomineError) as caught:
        main(run, "--tracker", tracker)
    assert f"pip install {tracker}" in caught.value.hint


MLFLOW = """
import json, os, sys
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
sys.path.insert(0, sys.argv[1])
import mlflow
from pathlib import Path
from cocomine.evaluation.tracking import read_folder, to_mlflow
to_mlflow(read_folder(Path(sys.argv[2]), Path(sys.argv[3])), "animals", sys.argv[4])
(run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train_loss")
print(json.dumps({"name": run.info.run_name, "parameters": run.data.params, "figures": run.data.metrics,
                  "tags": {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
                  "loss": [[one.step, one.value] for one in history]}))
"""


@pytest.mark.slow
def test_mlflow_itself_holds_all_of_it(run, tmp_path):
    store = (tmp_path / "store").as_uri()
    told = told_by("mlflow", MLFLOW, ROOT / "scripts", run, tmp_path / "build.lock.json", store, home=tmp_path)
    assert told["name"] == "baseline"
    assert told["parameters"]["train.batch"] == "16"
    assert told["loss"] == [[20, 0.9], [40, 0.7]]
    assert told["figures"] == {**FIGURES, "train_loss": 0.7, "val_iou": 0.3}
    assert told["tags"]["build_lock_sha256"] == sha256_of_file(tmp_path / "build.lock.json")
