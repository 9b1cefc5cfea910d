"""Folders, manifests and the lists of other projects: what they say, and what a faulty one is told."""

import codecs
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vilaco.data.formats import read_dataset, read_splits, read_subset, recognise
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import DataError
from vilaco.files import find_images
from vilaco.scan.sources import list_items
from vilaco.tables import read_table


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(path)
    return path


def test_two_folders_are_recursive_and_take_any_image_type(tmp_path: Path) -> None:
    paths = [image(tmp_path / p) for p in ("authentic/a.jpg", "authentic/deep/er/b.TIFF", "tampered/x/c.webp")]
    (tmp_path / "authentic/notes.txt").write_text("not an image")
    mask = image(tmp_path / "masks/x/c.png")
    assert recognise(tmp_path) == (
        "folders",
        [Record(paths[0], AUTHENTIC), Record(paths[1], AUTHENTIC), Record(paths[2], TAMPERED, mask)],
    )


def test_folders_are_searched_as_find_images_searches_them(tmp_path: Path) -> None:
    image(tmp_path / "photos/authentic/.ipynb_checkpoints/a-checkpoint.jpg")
    image(tmp_path / "photos/authentic/._a.jpg")
    image(tmp_path / "elsewhere/b.jpg")
    (tmp_path / "photos/authentic/linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "photos/authentic/lost.jpg").symlink_to(tmp_path / "gone.jpg")
    found = [record.path for record in read_dataset(tmp_path / "photos")]
    assert found == [tmp_path / "photos/authentic/linked/b.jpg", tmp_path / "photos/authentic/lost.jpg"]
    assert found == [each.path for each in find_images([tmp_path / "photos"])]


def test_a_set_without_subsets_is_its_own_subset(tmp_path: Path) -> None:
    records = [Record(image(tmp_path / "authentic/a.jpg"), AUTHENTIC)]
    assert read_subset(tmp_path) == records
    with pytest.raises(DataError, match="has no subset 'train'; its subsets: none"):
        read_subset(tmp_path, "train")


def test_two_folders_with_a_mask_of_no_image(tmp_path: Path) -> None:
    image(tmp_path / "tampered/a.jpg")
    image(tmp_path / "masks/b.png")
    with pytest.raises(DataError, match=r"b\.png: no image of this name under .*tampered"):
        read_dataset(tmp_path)


def test_two_files_of_one_name_share_its_mask(tmp_path: Path) -> None:
    tampered = [image(tmp_path / "tampered" / name) for name in ("b.jpg", "b.png")]
    mask = image(tmp_path / "masks/b.png")
    assert read_dataset(tmp_path) == [Record(path, TAMPERED, mask) for path in tampered]


def test_two_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "authentic").mkdir()
    with pytest.raises(DataError, match="hold no images"):
        read_dataset(tmp_path)


def test_csv_manifest(tmp_path: Path) -> None:
    file = tmp_path / "manifest.csv"
    file.write_text(
        "\ufeffpath,label,mask,group,mask_rule,notes\n"
        'a.jpg,0,,beach,,"sun, sea"\n'
        "sub/b.png,1,m/b.png,beach,zero,\n"
        "\n"
        "c.jpg,,,,,\n"
    )
    wanted = [
        Record(tmp_path / "a.jpg", AUTHENTIC, group="beach"),
        Record(tmp_path / "sub/b.png", TAMPERED, tmp_path / "m/b.png", "beach", "zero"),
        Record(tmp_path / "c.jpg", None),
    ]
    assert recognise(file) == ("manifest", wanted)
    assert read_dataset(tmp_path) == wanted  # the folder's manifest


def test_csv_manifest_with_spaces_after_commas_and_line_ends_of_windows(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_bytes(b"path, label, mask, group\r\na.jpg, 0, , beach \r\n\r\nb.jpg, 1,m.png, beach\r\n")
    assert read_dataset(file) == [
        Record(tmp_path / "a.jpg", AUTHENTIC, group="beach"),
        Record(tmp_path / "b.jpg", TAMPERED, tmp_path / "m.png", group="beach"),
    ]


def test_jsonl_manifest(tmp_path: Path) -> None:
    file = tmp_path / "photos.jsonl"
    file.write_text('{"path": "a.jpg", "label": 1, "mask": "a.png", "group": 7}\n{"path": "b.jpg", "label": null}\n')
    assert read_dataset(file) == [
        Record(tmp_path / "a.jpg", TAMPERED, tmp_path / "a.png", "7"),
        Record(tmp_path / "b.jpg", None),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,lable\na.jpg,0\n", r"m\.csv:1: unknown column 'lable'; did you mean 'label'\?"),
        ("pth,label\na.jpg,0\n", r"m\.csv:1: unknown column 'pth'; did you mean 'path'\?"),
        ("path,label,maks\na.jpg,0,\n", r"m\.csv:1: unknown column 'maks'; did you mean 'mask'\?"),
        ("file,image,label\na.jpg,b.jpg,0\n", r"m\.csv:1: columns 'file' and 'image' could be the path"),
        (
            "image,truth,where\na.jpg,0,x\n",
            r"m\.csv:1: no column for the label; it has image, truth, where; understood",
        ),
        (
            "where,truth\na.jpg,0\n",
            r"m\.csv:1: no column for the path; it has where, truth; understood are path: path, file",
        ),
        ("a.jpg,1\nb.jpg,0\n", r"m\.csv: its first line names no columns; put one above it: path,label"),
        ("path,label,path\na.jpg,0,\n", r"m\.csv:1: column 'path' appears twice"),
        ("path,mask\na.jpg,\n", r"m\.csv:1: no column for the label; it has path, mask"),
        (
            "path,label\na.jpg,0\nb.jpg,ai\nc.jpg,AI?\n",
            r"m\.csv: labels found that are not understood: ai, AI\?; understood are 0, .* au \(authentic\), 1,",
        ),
        ("path,label\na.jpg,0\na, b.jpg,1\n", r"m\.csv:3: 3 values for the 2 columns"),
        ("path,label\na.jpg,0\nb.jpg,0\na.jpg,1\n", r"m\.csv:4: path 'a\.jpg' was on line 2 already"),
        ("path,label\n,0\n", r"m\.csv:2: the path is empty"),
        (
            "path,label,mask_rule\na.jpg,0,zeros\n",
            r"m\.csv:2: unknown mask_rule 'zeros'; did you mean 'zero'\?",
        ),
        ("path,label\n", r"m\.csv: lists no images"),
    ],
)
def test_a_faulty_manifest_names_line_and_near_match(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "m.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_dataset(file)
    assert "Tried" not in str(caught.value)  # a faulty manifest is not mistaken for an unknown format


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"path": "b.jpg", "lable": 1}', r"m\.jsonl:2: unknown column 'lable'; did you mean 'label'\?"),
        ('{"path": "b.jpg", "label": 2}', r"m\.jsonl: labels found that are not understood: 2"),
        ('{"path": 3, "label": 1}', r"m\.jsonl:2: path must be text, got 3"),
        ('{"path": "b.jpg", ', r"m\.jsonl:2: not JSON"),
        ('["b.jpg", 1]', r"m\.jsonl:2: expected an object"),
    ],
)
def test_a_faulty_jsonl_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "m.jsonl"
    file.write_text('{"path": "a.jpg", "label": 0}\n' + line + "\n")
    with pytest.raises(DataError, match=message):
        read_dataset(file)


SHEET = [["path", "label", "mask", "group"], ["sub/a.jpg", "0", "", "beach; sunny"], ["é,ü.png", "1", "m/b.png", ""]]


def sheet(delimiter: str, *, quoted: bool = False, end: str = "\r\n") -> str:
    stream = io.StringIO()
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(stream, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(SHEET)
    return stream.getvalue()


@pytest.mark.parametrize(
    "saved",
    {
        "Excel, CSV UTF-8": sheet(",").encode("utf-8-sig"),
        "Excel, CSV UTF-8 in Europe": sheet(";").encode("utf-8-sig"),
        "Excel, Unicode text": sheet("\t").encode("utf-16"),
        "UTF-16, other way round": codecs.BOM_UTF16_BE + sheet(";").encode("utf-16-be"),
        "Excel told the delimiter": ("sep=;\r\n" + sheet(";")).encode(),
        "LibreOffice, all quoted": sheet(";", quoted=True, end="\n").encode(),
        "old Macs": sheet(",", end="\r").encode(),
        "vertical bars": sheet("|").encode(),
        "empty lines and columns": ("\r\n;;;;\r\n" + sheet(";").replace("\r\n", ";;\r\n") + ";;;;;\r\n").encode(),
        "spaces around headers": sheet(",").replace("path,label", " Path , LABEL ").encode(),
        "backslashes": sheet(",").replace("sub/a", "sub\\a").replace("m/b", "m\\b").encode(),
        "usual other names": sheet(";").replace("path;label;mask;group", "Filename;Is Fake;GT;scene").encode(),
        "labels in words": sheet(",").replace(",0,", ",Real,").replace(",1,", ",TP,").encode(),
        "labels of pandas": sheet(",").replace(",0,", ",0.0,").replace(",1,", ",1.0,").encode(),
    }.items(),
    ids=lambda item: item[0],
)
def test_tables_as_spreadsheets_save_them(tmp_path: Path, saved: tuple[str, bytes]) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(saved[1])
    assert read_dataset(file) == [
        Record(tmp_path / "sub/a.jpg", AUTHENTIC, group="beach; sunny"),
        Record(tmp_path / "é,ü.png", TAMPERED, tmp_path / "m/b.png"),
    ]
    listed = [item.path.replace("\\", "/") for item in list_items(str(file))]  # named by the table's own words
    assert listed == ["sub/a.jpg", "é,ü.png"]


def test_a_name_with_a_backslash_is_a_name_where_there_is_such_a_file(tmp_path: Path) -> None:
    there = image(tmp_path / "back\\slash.jpg")
    file = tmp_path / "list.csv"
    file.write_text("path,label\nback\\slash.jpg,0\nother\\slash.jpg,1\n")
    assert [record.path for record in read_dataset(file)] == [there, tmp_path / "other/slash.jpg"]


def test_how_a_table_was_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(sheet("\t").encode("utf-16"))
    assert read_table(file).description == "cells divided by tabs, UTF-16"
    file.write_bytes(sheet(";").encode("utf-8-sig"))
    assert read_table(file).description == "cells divided by semicolons, UTF-8"


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_bytes(b"path,label\n\xff\xfe.jpg,0\n")
    with pytest.raises(DataError, match=r"cannot be read as UTF-8 text .* spreadsheets call it 'CSV UTF-8'"):
        read_dataset(file)


def test_mvss_list_is_relative_to_the_folder_above(tmp_path: Path) -> None:
    image(tmp_path / "CASIAv1/TP/CM/a.jpg")
    file = tmp_path / "data/CASIAv1.txt"
    file.parent.mkdir()
    file.write_text(
        "./CASIAv1/TP/CM/a.jpg ./CASIAv1/mask/CM/a_gt.png 1\n./CASIAv1/Au/b.jpg None 0\nc.jpg m.png 2\nd.jpg\n"
    )
    name, records = recognise(file)
    assert name == "mvss"
    assert [r.label for r in records] == [TAMPERED, AUTHENTIC, TAMPERED, None]
    assert records[0] == Record(tmp_path / "CASIAv1/TP/CM/a.jpg", TAMPERED, tmp_path / "CASIAv1/mask/CM/a_gt.png")
    assert records[1].mask is None


def test_mvss_list_with_tabs_holds_spaces_in_paths(tmp_path: Path) -> None:
    file = tmp_path / "l.txt"
    file.write_text("my photos/a.jpg\tmy masks/a.png\t1\n")
    assert read_dataset(file) == [Record(tmp_path / "my photos/a.jpg", TAMPERED, tmp_path / "my masks/a.png")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg None 0\nmy b.jpg None 0\n", r"l\.txt:2: 4 columns.*divide by tabs"),
        ("a.jpg None 0\n\nb.jpg None 3\n", r"l\.txt:3: label must be 0, 1 or 2, got '3'"),
        ("a.jpg,m.png\nb.jpg\n", r"l\.txt:2: 1 columns, and 2 in the lines before"),
        ("", r"l\.txt: lists no images"),
    ],
)
def test_a_faulty_text_list_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "l.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_dataset(file)


@pytest.mark.parametrize("header", ["", "img,mask,jpeg\n"])
def test_catnet_list(tmp_path: Path, header: str) -> None:
    file = tmp_path / "CASIA_list.csv"
    file.write_text(header + "my Tp/a.tif,Groundtruth/a_gt.png,jpg/a.jpg\nAu/b.jpg,None,Au/b.jpg\n")
    assert recognise(file) == (
        "catnet",
        [
            Record(tmp_path / "my Tp/a.tif", TAMPERED, tmp_path / "Groundtruth/a_gt.png"),
            Record(tmp_path / "Au/b.jpg", AUTHENTIC),
        ],
    )


def test_catnet_list_of_imd2020_has_the_original_in_between(tmp_path: Path) -> None:
    file = tmp_path / "IMD.txt"
    file.write_text("t/a_0.png,t/a_0_mask.png,t/t_orig.jpg,0jpg/a_0.jpg\n")
    assert recognise(file) == (
        "catnet",
        [Record(tmp_path / "t/a_0.png", TAMPERED, tmp_path / "t/a_0_mask.png")],
    )


def test_trufor_list(tmp_path: Path) -> None:
    file = tmp_path / "CocoGlide_fake.txt"
    file.write_text("fake/a_up.png,mask/dining table_1_mask.png\nreal/b.png,None\n")
    assert recognise(file) == (
        "trufor",
        [
            Record(tmp_path / "fake/a_up.png", TAMPERED, tmp_path / "mask/dining table_1_mask.png"),
            Record(tmp_path / "real/b.png", AUTHENTIC),
        ],
    )


def test_wscl_datalist_and_its_subsets(tmp_path: Path) -> None:
    image(tmp_path / "data/coverage/val/image/16t.tif")
    entries = {
        "16t.tif": {
            "subset": "val",
            "path": "data/coverage/val/image/16t.tif",
            "mask": "data/coverage/val/mask/16forged.tif",
            "label": 1,
        },
        "81.tif": {"subset": "train", "path": "data/coverage/val/image/81.tif", "label": 0},
    }
    file = tmp_path / "data/coverage_datalist.json"
    file.write_text(json.dumps(entries))
    tampered = Record(tmp_path / "data/coverage/val/image/16t.tif", 1, tmp_path / "data/coverage/val/mask/16forged.tif")
    authentic = Record(tmp_path / "data/coverage/val/image/81.tif", 0)
    assert recognise(file) == ("wscl", [tampered, authentic])
    assert read_splits(file) == {"val": [tampered], "train": [authentic]}
    assert read_subset(file, "train") == [authentic]
    with pytest.raises(DataError, match=r"names several subsets; choose one with --subset: val, train\.$"):
        read_subset(file)
    with pytest.raises(DataError, match=r"has no subset 'test'; its subsets: val, train\.$"):
        read_subset(file, "test")

    del entries["81.tif"]["subset"]
    file.write_text(json.dumps(entries))
    with pytest.raises(DataError, match=r"'81\.tif' has no text 'subset'"):
        read_dataset(file)


def test_benco_json_balanced_and_test_lists(tmp_path: Path) -> None:
    image(tmp_path / "CASIA/Tp/6.jpg")
    image(tmp_path / "CASIA/Gt/6.png")
    listed = tmp_path / "list.json"
    listed.write_text('[["./CASIA/Tp/6.jpg", "./CASIA/Gt/6.png"], ["./Tp/8.jpg", "Negative"]]')
    balanced = tmp_path / "balanced_dataset.json"
    balanced.write_text(json.dumps([["ManiDataset", "CASIA"], ["JsonDataset", str(listed)]]))
    tests = tmp_path / "test_datasets.json"
    tests.write_text(json.dumps({"CASIAv1": "CASIA", "mine": "list.json"}))

    tampered = Record(tmp_path / "CASIA/Tp/6.jpg", TAMPERED, tmp_path / "CASIA/Gt/6.png")
    both = [tampered, Record(tmp_path / "Tp/8.jpg", AUTHENTIC)]
    assert recognise(listed) == ("benco_json", both)
    assert recognise(balanced) == ("benco_balanced", [tampered, *both])
    assert recognise(tests) == ("benco_test", [tampered, *both])
    assert read_splits(tests) == {"CASIAv1": [tampered], "mine": both}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[["a.jpg", "a.png"], ["b.jpg"]]', r"entry 1 must be two texts"),
        ('[["ManiDataset", "nowhere"]]', r"names nowhere, which does not exist"),
        ('[["ManiDataset", "."]]', r"names \., which has no folder Tp/"),
        ('[["ManiDataset", "."], ["ManyDataset", "."]]', r"has no folder Tp/"),
        ('[["a.jpg"\n', r"l\.json:2: not JSON"),
    ],
)
def test_a_faulty_benco_list(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "l.json"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_dataset(file)
