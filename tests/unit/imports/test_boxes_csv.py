from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from helpers.imported import imported
from helpers.own_data import draw_image

TENSORFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


def lay(root: Path, tables: dict[str, str], *images: str) -> Path:
    for seed, image in enumerate(images or ("a.jpg",)):
        draw_image(root / image, seed)
    for name, text in tables.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    "text",
    [
        f"{TENSORFLOW}a.jpg,64,48,leaf,10,8,30,24\n",
        "\ufeffImage;Label;X1;Y1;X2;Y2\r\na.jpg;leaf;10;8;30;24\r\n",
        'path,x,y,w,h,name\n"a.jpg",10,8,20,16,"leaf"\n',
        "x\ty\twidth\theight\tfile\tcategory\tscore\n10\t8\t20\t16\t/data/a.jpg\tleaf\t0.5\n",
    ],
)
def test_headers_as_tools_write_them(tmp_path: Path, text: str) -> None:
    done = imported(lay(tmp_path / "d", {"boxes.csv": text}), "csv")
    assert [one["bbox"] for one in done.objects()["a.jpg"]] == [[10, 8, 20, 16]]
    assert done.document()["categories"] == [{"id": 1, "name": "leaf"}]


def test_each_broken_row_is_named_by_its_line(tmp_path: Path) -> None:
    rows = [
        "a.jpg,64,48,leaf,10,8,30,24", "a.jpg,64,48,leaf,10,x,30,24", "a.jpg,64,48,,10,8,30,24",
        "gone.jpg,64,48,leaf,10,8,30,24", "a.jpg,64,48,leaf,10", "a.jpg,64,48,leaf,30,24,10,8", "b.jpg,64,48,,,,,",
    ]  # fmt: skip
    folder = lay(tmp_path / "d", {"boxes.csv": TENSORFLOW + "\n".join(rows)}, "a.jpg", "b.jpg", "c.jpg")
    done = imported(folder, "csv")
    assert sorted(done.set_aside) == sorted(
        [
            ("label", "boxes.csv", "5", "missing-image"),
            ("label", "boxes.csv", "3", "not-a-number"),
            ("label", "boxes.csv", "4", "no-class"),
            ("label", "boxes.csv", "6", "field-count"),
            ("image", "c.jpg", "", "no-labels"),
        ]
    )
    assert done.repaired == [("boxes.csv", "7", "corners-swapped")]
    assert done.labels() == (7, 2, 1, 4)
    assert done.objects()["b.jpg"] == []  # a row without class and numbers says that nothing is there


def test_tables_of_splits(tmp_path: Path) -> None:
    row = "x.jpg,64,48,leaf,10,8,30,24\n"
    folder = lay(tmp_path / "d", {f"{one}/_annotations.csv": TENSORFLOW + row for one in ("train", "valid")})
    for seed, split in enumerate(("train", "valid")):
        draw_image(folder / split / "x.jpg", seed)
    done = imported(folder, "csv", splits=["train", "valid"])
    assert list(done.objects("instances_valid.json")) == ["valid/x.jpg"]
    flat = lay(tmp_path / "f", {f"{one}.csv": f"{TENSORFLOW}{one}.jpg,64,48,a,1,2,3,4" for one in ("train", "val")})
    for seed, split in enumerate(("train", "val")):
        draw_image(flat / "images" / f"{split}.jpg", seed)
    done = imported(flat, "csv", splits=["train", "val"])
    assert list(done.objects("instances_val.json")) == ["images/val.jpg"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.jpg,10,8,30,24,leaf\n", "its first line is a.jpg"),
        ("", "its first line is"),
        ("image,label,x1,y1,x2,y2\na.jpg,leaf,0.1,0.2,0.5,0.6\n", "lie between 0 and 1"),
        ("image,label,x1,y1,x2,y2\nb.jpg,leaf,1,2,3,4\n", "none of its 1 labels"),
    ],
)
def test_a_table_that_cannot_be_meant_is_an_error_with_the_remedy(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CocomineError, match=said) as caught:
        imported(lay(tmp_path / "d", {"boxes.csv": text}), "csv")
    assert caught.value.hint
