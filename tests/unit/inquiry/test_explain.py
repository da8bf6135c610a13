"""Each clause of the query is explained, tried at random beside the oracle, and documented."""

import re
from pathlib import Path

import pytest
from cocomine.mining.select import _REMEDIES
from helpers.shared import ROOT

SELECT = (ROOT / "scripts/cocomine/mining/select.py").read_text("utf-8")
ELSEWHERE = {"images_from": "test_select.py", "lost_objects": "test_lost_objects.py"}  # not drawn at random
BY_NAME = {"image_width", "image_height", "image_aspect", "area", "relative_area"}  # applied in loops
CLAUSES = sorted(BY_NAME | set(re.findall(r'self\.apply\(\s*"(\w+)",[^\n]*images=', SELECT)))


def texts(*paths: str) -> str:
    return "".join(Path(ROOT, path).read_text("utf-8") for path in paths)


def test_the_clauses_are_found():
    assert {"licenses", "categories", "only", "instances", "caption"} <= set(CLAUSES)


@pytest.mark.parametrize("clause", CLAUSES)
def test_a_clause_that_removes_images_is_explained_tried_and_documented(clause):
    assert f'"{clause}": lambda' in texts("scripts/cocomine/inquiry/explain.py"), "trace_record could not say why"
    tried = texts("tests/helpers/random_queries.py", f"tests/unit/mining/{ELSEWHERE.get(clause, 'test_oracle.py')}")
    assert re.search(rf'"{clause}"|{clause}=', tried), "no random query asks for it"
    documented = f"`{clause}`" in texts("docs/mining.md").replace(":", "`")
    assert documented, f"docs/mining.md: give the table of clauses a row with `{clause}`"
    assert clause in _REMEDIES, "select.py: say in _REMEDIES what to loosen when nothing is left"
