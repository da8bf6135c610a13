"""What a config's author is promised: a first config is short, and a mistake is one screen of key and remedy."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json
from cocomine.configuration.document import document, json_schema
from cocomine.configuration.planning import make_plan
from cocomine.configuration.targets import outputs_of
from helpers.shared import ROOT
from helpers.workflow import snakemake

EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.yaml"))

SHORT = """\
stores:
  coco: {folder: /datasets/coco}
sources:
  coco: {splits: [val2017]}
subsets:
  animals: {categories: [giraffe, zebra]}
"""


def loaded(text: str) -> dict:
    return yaml.safe_load(text)


def test_a_first_useful_config_has_at_most_eight_lines() -> None:
    plan = make_plan(loaded(SHORT))
    assert len(SHORT.splitlines()) <= 8
    assert plan.subsets["animals"].query.categories == ("giraffe", "zebra")
    assert plan.subsets["animals"].source.files == (("instances", "val2017"),)


def test_a_users_config_holds_nothing_of_the_demo() -> None:
    assert "synthetic" not in str(make_plan(loaded(SHORT)).config).replace("'synthetic': None", "")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_planned(example: Path) -> None:
    assert make_plan(loaded(example.read_text(encoding="utf-8"))).subsets


def test_sources_are_set_side_by_side_where_the_config_asks_for_it() -> None:
    plan = make_plan(loaded((ROOT / "config" / "examples" / "sama-against-coco.yaml").read_text(encoding="utf-8")))
    compared = plan.comparisons["coco-and-sama"]
    assert set(compared.first_splits) == set(compared.second_splits) == {"train2017", "val2017"}
    assert "data/annotations/sama/index/instances_val2017/index.json" in compared.indexes
    made = outputs_of(plan, {"compare_sources": ["results/comparisons/{comparison}/comparison.md"]})
    assert made == {"compare_sources": ["results/comparisons/coco-and-sama/comparison.md"]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"first": "coco", "second": "sama"}, "comparisons.c.second: no source is called 'sama'"),
        ({"first": "coco", "second": "coco", "splits": ["x"]}, "comparisons.c.splits: .* has no instances of 'x'"),
        ({"first": "coco", "second": "coco", "task": "stuff"}, "comparisons.c: .* share no split of stuff"),
        (
            {"first": "coco", "second": "coco", "first_splits": ["val2017"], "second_splits": ["y"]},
            "comparisons.c.second_splits: .* has no instances of 'y'",
        ),
        ({"first": "coco", "second": "coco", "first_splits": ["val2017"]}, "c.second_splits: the splits of one"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(given: dict, message: str) -> None:
    with pytest.raises(CocomineError, match=message):
        make_plan(loaded(SHORT) | {"comparisons": {"c": given}})


@pytest.mark.quick
def test_the_readme_and_the_schema_of_the_config_are_those_of_the_settings() -> None:
    again = "run: ./run python scripts/document_config.py --out-dir config"
    assert (ROOT / "config" / "README.md").read_text(encoding="utf-8") == document(), again
    assert (ROOT / "config" / "schema.json").read_text(encoding="utf-8") == json_schema(), again


@pytest.mark.parametrize("example", [*EXAMPLES, ROOT / "config" / "config.yaml"], ids=lambda path: path.stem)
def test_an_editor_finds_nothing_wrong_with_the_examples(example: Path) -> None:
    jsonschema.validate(loaded(example.read_text(encoding="utf-8")), json.loads(json_schema()))


@pytest.mark.parametrize(
    ("change", "named", "remedy"),
    [
        ({"subset": {}}, "unknown key 'subset'", "subsets"),
        (
            {"subsets": {"animals": {"catgories": ["giraffe"]}}},
            "subsets.animals: unknown key 'catgories'",
            "categories",
        ),
        (
            {"subsets": {"animals": {"categories": "giraffe"}}},
            "subsets.animals.categories: expected list of text or whole number or mapping",
            "",
        ),
        ({"subsets": {"animals": {"match": "every"}}}, "subsets.animals.match: 'every' is not one of", "any"),
        ({"subsets": {"Animals": {}}}, "'Animals' cannot be used", "lower-case"),
        ({"subsets": {"animals": {"source": "coca"}}}, "subsets.animals.source: no source is called 'coca'", "coco"),
        ({"subsets": {"animals": {"source_splits": ["val2014"]}}}, "no split 'val2014'", "val2017"),
        ({"subsets": {"animals": {"images_from": "other"}}}, "no subset is called 'other'", "animals"),
        ({"subsets": {"animals": {"images_from": "animals"}}}, "is a ring", "stand alone"),
        (
            {"subsets": {"animals": {"labels_from": "results/./animals/labels.json"}}},
            "subsets.animals.labels_from: results/animals/labels.json is the file that this subset writes",
            "copy it elsewhere",
        ),
        (
            {
                "subsets": {
                    "animals": {"labels_from": "results/others/labels.json"},
                    "others": {"images_from": "animals"},
                }
            },
            "subsets.others.images_from: animals → others → animals is a ring",
            "stand alone",
        ),
        (
            {"subsets": {"animals": {"labels_from": "/elsewhere/labels.json"}}},
            "subsets.animals.labels_from: /elsewhere/labels.json lies outside the working directory",
            "copy it into the working directory",
        ),
        (
            {"subsets": {"animals": {"classes": {"cat": []}}}},
            "subsets.animals.classes[0]: 'cat' is a class of no",
            "nam",
        ),
        (
            {"masks": {"draw_from": "stuff"}},
            "subsets.animals.masks.draw_from: stuff: the source coco has no stuff file for val2017",
            "add stuff to sources.coco.tasks",
        ),
        *(
            (
                {"sources": {"coco": {"splits": ["val2017"], "tasks": [task]}}},
                f"subsets.animals: the source coco has no instances file for val2017 (it has: {task})",
                "add instances to sources.coco.tasks",
            )
            for task in ("panoptic", "captions", "person_keypoints", "stuff")
        ),
        ({"sources": {"coco": {"store": "cocoa", "splits": ["a"]}}}, "no store is called 'cocoa'", "coco"),
        ({"sources": {"coco": {}}}, "sources.coco.splits: missing", "train2017"),
        ({"stores": {"coco": {"use": "symlink"}}}, "stores.coco.use: 'symlink' is not one of", "in place"),
        ({"experiments": {"try": {"subset": "plants"}}}, "no subset is called 'plants'", "animals"),
        ({"seed": "seven"}, "seed: expected whole number ≥ 0, got text: 'seven'", "Salt"),
    ],
)
def test_a_mistake_is_named_with_its_key_value_and_remedy(change: dict, named: str, remedy: str) -> None:
    with pytest.raises(CocomineError) as caught:
        make_plan(loaded(SHORT) | change)
    assert named in caught.value.message
    assert remedy in caught.value.hint
    assert len(str(caught.value).splitlines()) <= 24, "more than a screen"


@pytest.mark.parametrize("outputs", [[], ["instance"]])
def test_training_on_a_subset_without_semantic_masks_is_refused_before_anything_is_built(outputs: list) -> None:
    config = loaded(SHORT) | {
        "experiments": {"e": {"subset": "animals"}},
        "masks": {"outputs": outputs},
        "exports": ["coco"],
    }
    with pytest.raises(CocomineError, match=r"experiments\.e: it needs semantic masks of animals") as caught:
        make_plan(config)
    assert "subsets.animals.masks.outputs" in caught.value.hint
    make_plan({key: part for key, part in config.items() if key != "experiments"})
    make_plan(config | {"masks": {"outputs": [*outputs, "semantic"]}})
    make_plan(config | {"masks": {}})


def test_a_subsets_own_shares_replace_those_at_the_top_and_training_names_a_split_that_it_lacks() -> None:
    config = loaded(SHORT) | {"split": {"seed": 3, "shares": {"train": 0.7, "val": 0.2, "test": 0.1}}}
    config["subsets"]["animals"]["split"] = {"shares": {"train": 0.5, "test": 0.5}}
    assert make_plan(config).subsets["animals"].split.shares == {"train": 0.5, "test": 0.5}
    assert make_plan(config).subsets["animals"].split.seed == 3
    with pytest.raises(
        CocomineError, match=r"experiments\.e: it needs the split val of animals, which has train, test"
    ):
        make_plan(config | {"experiments": {"e": {"subset": "animals"}}})
    del config["subsets"]["animals"]["split"]
    for split in ("test", "all", None):
        make_plan(config | {"experiments": {"e": {"subset": "animals", "evaluation": {"split": split}}}})
    with pytest.raises(CocomineError, match="it needs the split dev of animals") as caught:
        make_plan(config | {"experiments": {"e": {"subset": "animals", "evaluation": {"split": "dev"}}}})
    assert "evaluation.split" in caught.value.hint


def test_a_split_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(CocomineError, match=r"split\.shares\.val: expected number > 0, < 1, got 1\.2"):
        make_plan(loaded(SHORT) | {"split": {"shares": {"val": 1.2}}})
    with pytest.raises(CocomineError, match=r"subsets\.animals\.split\.fold: there is no fold 7 of 5"):
        make_plan(loaded(SHORT) | {"split": {"strategy": "kfold", "fold": 7}})


def test_a_mistake_is_seen_on_the_terminal(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(SHORT.replace("categories", "categoires"), encoding="utf-8")
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path),
        "--cores", "1", "--configfile", str(config),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "unknown key 'categoires'" in done.stderr
    assert "did you mean 'categories'" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 24


def test_the_order_of_classes_and_pinned_labels_are_part_of_the_lock() -> None:
    one, other = (
        make_plan(loaded(SHORT) | {"subsets": {"animals": {"classes": dict(classes), "labels_from": "pinned.json"}}})
        for classes in ([("a", "cat"), ("b", "dog")], [("b", "dog"), ("a", "cat")])
    )
    assert canonical_json(one.config) != canonical_json(other.config)
    assert one.settings("query", "animals") != other.settings("query", "animals")
    assert "pinned.json" in one.locked_inputs


def test_labels_of_another_subset_are_made_before_those_that_follow_them() -> None:
    subsets = {"animals": {}, "more": {"labels_from": "results/animals/labels.json"}}
    plan = make_plan(loaded(SHORT) | {"subsets": subsets})
    assert plan.subsets["more"].pinned == [plan.subsets["animals"].labels]
    assert plan.subsets["animals"].labels not in plan.locked_inputs


def test_equal_configs_give_equal_locks_wherever_their_stores_lie() -> None:
    elsewhere = loaded(SHORT.replace("/datasets/coco", "/mnt/coco"))
    assert make_plan(loaded(SHORT)).config == make_plan(elsewhere).config


@pytest.mark.parametrize("name", ["folder", "use", "origins", "weights_folder", "places"])
def test_what_is_only_called_like_a_place_stays_in_the_lock(name: str) -> None:
    named = loaded(SHORT) | {"subsets": {name: {"max_images": 7, "policy": {}, "max_per_class": {name: 3}}}}
    config = make_plan(named).config
    assert config["subsets"][name]["max_images"] == 7
    assert config["subsets"][name]["max_per_class"] == {name: 3}
    assert "folder" not in config["stores"]["coco"]
    assert make_plan(named).config != make_plan(named | {"seed": 1}).config


WITHOUT_TORCH = """
import importlib.metadata, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "torch" or name.startswith("torch."):
            raise ModuleNotFoundError("no torch here")
sys.meta_path.insert(0, Absent())
found = importlib.metadata.Distribution.from_name.__func__
def from_name(cls, name):
    if name == "torch":
        raise importlib.metadata.PackageNotFoundError(name)
    return found(cls, name)
importlib.metadata.Distribution.from_name = classmethod(from_name)
"""


def test_a_config_without_experiments_is_planned_where_torch_is_absent(tmp_path: Path) -> None:
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "sitecustomize.py").write_text(WITHOUT_TORCH, encoding="utf-8")
    config = tmp_path / "config.yaml"
    config.write_text(SHORT, encoding="utf-8")
    here = {"PYTHONPATH": str(tmp_path / "absent")}
    done = snakemake(tmp_path, "--dry-run", "--configfile", str(config), environment=here)
    assert done.returncode == 0, done.stdout + done.stderr
    config.write_text(SHORT + "experiments: {try: {subset: animals}}\n", encoding="utf-8")
    done = snakemake(tmp_path, "--dry-run", "--configfile", str(config), environment=here)
    assert done.returncode != 0
    assert "torch" in done.stdout + done.stderr


def test_numbers_given_on_the_command_line_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SHORT, encoding="utf-8")
    given = ("--dry-run", "--configfile", str(tmp_path / "config.yaml"), "--config")
    assert snakemake(tmp_path, *given, 'split={"shares": {"train": 0.5, "test": 0.5}}').returncode == 0
    done = snakemake(tmp_path, *given, 'split={"shares": {"test": 1.5}}')
    assert "split.shares.test: expected number > 0, < 1, got 1.5" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            SHORT + "  animals: {}\n",
            "config.yaml, line 7, column 3: the key 'animals' stands twice, in line 6 and in line 7",
        ),
        ("subsets: a: b\n", "config.yaml, line 1, column 11: mapping values are not allowed"),
    ],
)
def test_a_mistake_of_yaml_is_named_by_line_before_snakemake_reads_it(tmp_path: Path, text: str, said: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text, encoding="utf-8")
    command = [str(ROOT / "run"), "snakemake", "--dry-run", "--directory", str(tmp_path), "--configfile", str(config)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 3
