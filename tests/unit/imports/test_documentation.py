from cocomine.imports.reasons import TABLE, Reason
from helpers.shared import ROOT


def test_every_reason_stands_in_the_docs_with_its_meaning() -> None:
    assert set(TABLE) == set(Reason)
    rows = [f"| `{reason}` | {of} | {becomes} | {meaning} |" for reason, (of, becomes, meaning) in TABLE.items()]
    table = "\n".join(["| reason | of | is | meaning |", "|---|---|---|---|", *rows])
    text = (ROOT / "docs/own-data.md").read_text()
    written = text.partition("holds this table equal to the code) -->\n")[2].partition("\n<!-- import reasons: end")[0]
    assert written == table
