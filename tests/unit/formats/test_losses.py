from cocomine.formats.losses import LOSSES
from cocomine.formats.registry import FORMATS
from helpers.shared import ROOT


def table():
    lines = ["| code | counts | in the export | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{loss.code}` | {loss.unit} | {'no' if loss.drops else 'yes, with less'} | {loss.meaning} |"
        for loss in LOSSES.values()
    ]
    return "\n".join(lines)


def test_the_documentation_lists_every_loss_as_the_code_does():
    text = (ROOT / "docs" / "formats.md").read_text("utf-8")
    listed = text.split("<!-- losses: begin")[1].split("-->\n")[1].split("\n<!-- losses: end")[0]
    assert listed == table()


def test_the_documentation_lists_every_format_as_the_code_does():
    lines = ["| format | what lies where | read by | load it |", "|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | {one.what} | {one.read_by} | `{one.load.format(folder='DIR')}` |" for one in FORMATS.values()
    ]
    text = (ROOT / "docs" / "formats.md").read_text("utf-8")
    assert text.split("<!-- formats: begin")[1].split("-->\n")[1].split("\n<!-- formats: end")[0] == "\n".join(lines)


def test_codes_are_named_once_and_dropped_things_are_objects_images_or_records():
    assert all(code == loss.code for code, loss in LOSSES.items())
    assert {loss.unit for loss in LOSSES.values()} == {"objects", "images", "classes", "records"}
