"""What `COCOMINE_IMAGE` promises: jobs run in the image that it names, or nothing runs."""

from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.image import image_of_jobs


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "named", [" ", "my image.sif", "a;id", "$(id).sif", "`id`", "a'b.sif", "{source}.sif", "a\n.sif", "--nv", "~a.sif"]
)  # fmt: skip
def test_a_name_that_a_shell_or_snakemake_would_read_otherwise_is_refused(named: str, asked: bool) -> None:
    with pytest.raises(CocomineError, match=r"^COCOMINE_IMAGE: .* holds "):
        image_of_jobs(named, asked)


@pytest.mark.parametrize(
    "address", ["docker://registry.test:5000/of-us/cocomine:0.2.0", "oras://registry.test/cocomine@sha256:0a1b"]
)
def test_an_address_is_taken_as_it_is(address: str) -> None:
    assert image_of_jobs(address, asked=True) == address


def test_a_file_must_be_there_where_jobs_shall_run_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "jörg" / "cocomine.sif"
    assert image_of_jobs(str(file), asked=False) == str(file)
    for named in (f"file://{file}", str(file)):
        with pytest.raises(CocomineError, match=r"cocomine\.sif is not there") as told:
            image_of_jobs(named, asked=True)
        assert str(tmp_path) in told.value.hint
    file.parent.mkdir()
    file.touch()
    for named in (str(file), str(file.relative_to(tmp_path)), f"file://{file}"):
        assert image_of_jobs(named, asked=True) == named


def test_without_an_image_jobs_that_shall_run_in_one_do_not_run_outside() -> None:
    assert image_of_jobs("", asked=False) == ""
    with pytest.raises(CocomineError, match="COCOMINE_IMAGE names no image") as told:
        image_of_jobs("", asked=True)
    assert "leave the option out" in told.value.hint
