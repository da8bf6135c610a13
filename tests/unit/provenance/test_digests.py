"""What the digest of a script promises: it changes with what can change a result, and with nothing else."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cocomine.provenance.digests import code_digest, package_versions, reached_files, written
from helpers.shared import ROOT

SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one script, one module that it imports inside a function, and one that it does not."""
    package = tmp_path / "scripts" / "cocomine" / "masks"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("", encoding="utf-8")
    (package / "draw.py").write_text(
        '"""Draw."""\n\n\ndef draw():\n    """Draw it."""\n    return 1\n', encoding="utf-8"
    )
    (package / "palette.json").write_text("[1]", encoding="utf-8")
    other = package.parent / "splits"
    other.mkdir()
    (other / "__init__.py").write_text("", encoding="utf-8")
    (other / "rank.py").write_text("RANK = 1\n", encoding="utf-8")
    script = tmp_path / "scripts" / "draw.py"
    script.write_text("def main():\n    from cocomine.masks.draw import draw\n    return draw()\n", encoding="utf-8")
    return script


def digest_now(script: Path) -> str:
    """The digest as a fresh process sees it: the walk keeps what it has parsed."""
    code = "import sys; from pathlib import Path; from cocomine.provenance.digests import code_digest as d; "
    command = [sys.executable, "-c", code + "print(d(Path(sys.argv[1])))", str(script)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT / "scripts").stdout


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("cocomine/masks/draw.py", "return 1", "return 1  # one"),
        ("cocomine/masks/draw.py", "Draw it.", "Draw it well."),
        ("cocomine/masks/draw.py", "\n\n\ndef", "\n\n\n\n\ndef"),
        ("cocomine/splits/rank.py", "RANK = 1", "RANK = 2"),
    ],
)
def test_comments_docstrings_layout_and_unreached_code_leave_it_alone(project, file, old, new) -> None:
    before = digest_now(project)
    edit(project.parent / file, old, new)
    assert digest_now(project) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("draw.py", "return draw()", "return draw() + 1"),
        ("cocomine/masks/draw.py", "return 1", "return 2"),
        ("cocomine/masks/palette.json", "[1]", "[2]"),
        ("cocomine/__init__.py", "", "import numpy\n"),
    ],
)
def test_reached_code_data_and_packages_change_it(project, file, old, new) -> None:
    before = digest_now(project)
    edit(project.parent / file, old, new)
    assert digest_now(project) != before


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_walk_reaches_every_module_that_is_loaded_at_run_time(script: Path) -> None:
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='loaded'); "
        "print('\\n'.join(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'cocomine' and m.__file__))"
    )
    command = [sys.executable, "-c", code, str(script)]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True, cwd=script.parent).stdout.split("\n")
    assert {Path(line) for line in loaded if line} <= reached_files(script)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_package_that_a_script_imports_has_a_version(script: Path) -> None:
    versions = package_versions(sorted(reached_files(script)))
    assert all(versions.values())
    assert len(code_digest(script)) == 64


def interpreters() -> list[Path]:
    """Other versions of Python on this machine."""
    names = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    managed = sorted((Path.home() / ".pyenv" / "versions").glob("3.1[1-9]*/bin/python3"))
    return [Path(name) for name in names if name] + managed


TREES = """
import ast, hashlib, sys
from pathlib import Path
from cocomine.provenance.digests import written
for path in sorted(Path(sys.argv[1]).rglob("*.py")):
    print(path, hashlib.sha256(written(ast.parse(path.read_bytes())).encode()).hexdigest())
"""


@pytest.mark.slow
def test_every_version_of_python_writes_the_same_of_a_file() -> None:
    asked: dict[str, str] = {}
    for python in interpreters():
        version = subprocess.run([python, "--version"], capture_output=True, text=True).stdout
        if version and version not in asked:
            command = [python, "-c", TREES, str(ROOT / "scripts" / "cocomine")]
            asked[version] = subprocess.run(
                command, check=True, capture_output=True, text=True, cwd=ROOT / "scripts"
            ).stdout
    if len(asked) < 2:
        pytest.skip(f"only one version of Python is here: {', '.join(asked)}")
    assert len(set(asked.values())) == 1, list(asked)


def test_where_the_constants_of_a_formatted_text_are_cut_does_not_matter() -> None:
    whole = ast.parse("f'ab{c}'")
    cut = ast.parse("f'ab{c}'")
    text = cut.body[0].value.values
    text[:1] = [ast.Constant("a"), ast.Constant(""), ast.Constant("b")]
    assert written(whole) == written(cut)
    assert written(whole) != written(ast.parse("f'ab{d}'"))


def test_a_tree_is_written_without_what_is_empty() -> None:
    assert written(ast.parse("def f(): return None")) == (
        "Module(body=[FunctionDef(name='f',args=arguments(),body=[Return(value=Constant())])])"
    )
