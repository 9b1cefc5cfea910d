"""Each public data set's layout, built on disk as its authors publish it and read back."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vilaco.data.formats import READERS, read_dataset, recognise
from vilaco.data.formats.casia import scene_ids
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import DataError
from vilaco.images import load_mask

GREY = np.full((6, 8, 3), 90, dtype=np.uint8)


def write(path: Path, pixels: np.ndarray = GREY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def square(value: int, background: int) -> np.ndarray:
    """A 6x8 grey mask with a 2x3 square."""
    mask = np.full((6, 8), background, dtype=np.uint8)
    mask[1:3, 2:5] = value
    return mask


def by_name(records: list[Record]) -> dict[str, Record]:
    return {record.path.name: record for record in records}


def mask_name(record: Record) -> str | None:
    return record.mask.name if record.mask else None


def expected_square() -> np.ndarray:
    return square(1, 0).astype(bool)


def test_casia1_pairs_by_name_and_by_number_where_names_are_wrong(tmp_path: Path) -> None:
    root = tmp_path / "CASIA 1.0 dataset"
    for name in ("Au_ani_0001.jpg", "Au_pla_0023.JPG", "Au_cha_0011.jpg", "Au_nat_0099.jpg"):
        write(root / "Au" / name)
    tampered = {
        "Tp/CM/Sp_S_CND_A_pla0023_pla0023_0196.jpg": "CM/Sp_S_CND_A_pla0023_pla0023_0196_gt.png",
        "Tp/Sp/Sp_D_CND_A_ani0001_pla0023_0281.jpg": "Sp/Sp_D_CND_A_ani0001_pla0023_0281_gt.png",
        # the image says sce, the mask sec and the other way round; only S/D and the number agree
        "Tp/Sp/Sp_D_NRN_A_sce0011_cha0011_0542.jpg": "Sp/Sp_D_NRN_A_cha0011_sec0011_0542_gt.png",
        # the same number as a copy-move image
        "Tp/Sp/Sp_D_NNN_A_nat0098.0196.jpg": "Sp/Sp_D_NNN_A_nat0097_0196_gt.png",
        "Tp/Sp/Sp_D_NNN_A_art0001_art0002_0700.jpg": None,
    }
    for image, mask in tampered.items():
        write(root / image)
        if mask:
            write(tmp_path / "CASIA 1.0 groundtruth" / mask, square(255, 0))

    name, records = recognise(root)

    assert name == "casia1"
    found = by_name(records)
    assert len(found) == len(records) == 9
    assert {r.label for n, r in found.items() if n.startswith("Au")} == {AUTHENTIC}
    for image, mask in tampered.items():
        record = found[Path(image).name]
        assert (record.label, mask_name(record)) == (TAMPERED, Path(mask).name if mask else None)
    scene = found["Au_ani_0001.jpg"].group
    assert scene == "casia-ani0001"
    assert found["Au_pla_0023.JPG"].group == scene  # one splice has pixels of both
    assert found["Sp_S_CND_A_pla0023_pla0023_0196.jpg"].group == scene
    assert found["Au_cha_0011.jpg"].group == found["Sp_D_NRN_A_sce0011_cha0011_0542.jpg"].group != scene
    assert found["Au_nat_0099.jpg"].group == "casia-nat0099"


def test_casia1_does_not_guess_between_two_masks_of_one_number(tmp_path: Path) -> None:
    write(tmp_path / "Au/Au_ani_0001.jpg")
    write(tmp_path / "Sp/Sp_D_NNN_A_ani0001_ani0002_0007.jpg")
    write(tmp_path / "Gt/Sp_D_NNN_A_ani0001_ani0003_0007_gt.png", square(255, 0))
    write(tmp_path / "Gt/Sp_D_NNN_A_ani0001_ani0004_0007_gt.png", square(255, 0))
    assert by_name(read_dataset(tmp_path))["Sp_D_NNN_A_ani0001_ani0002_0007.jpg"].mask is None


def test_casia1_masks_beside_the_images_are_no_images(tmp_path: Path) -> None:
    write(tmp_path / "Au/Au_ani_0001.jpg")
    write(tmp_path / "Tp/Sp_D_NNN_A_ani0001_ani0002_0007.jpg")
    write(tmp_path / "Tp/Sp_D_NNN_A_ani0001_ani0002_0007_gt.png", square(255, 0))
    records = read_dataset(tmp_path)
    assert len(records) == 2
    assert mask_name(records[1]) == "Sp_D_NNN_A_ani0001_ani0002_0007_gt.png"


def test_casia2_reads_tiff_and_the_mask_called_gt3(tmp_path: Path) -> None:
    write(tmp_path / "Au/Au_ani_00001.jpg")
    write(tmp_path / "Au/Au_cha_10002.bmp")
    write(tmp_path / "Tp/Tp_D_NRD_S_N_cha10002_cha10001_20094.jpg")
    write(tmp_path / "Tp/Tp_D_CRN_S_N_cha00063_art00014_11818.tif")
    masks = tmp_path / "CASIA 2 Groundtruth"
    write(masks / "Tp_D_NRD_S_N_cha10002_cha10001_20094_gt3.png", square(255, 0))
    write(masks / "Tp_D_CRN_S_N_cha00063_art00014_11818_gt.png", square(255, 0))

    name, records = recognise(tmp_path)

    assert name == "casia2"
    found = by_name(records)
    assert mask_name(found["Tp_D_NRD_S_N_cha10002_cha10001_20094.jpg"]) == (
        "Tp_D_NRD_S_N_cha10002_cha10001_20094_gt3.png"
    )
    assert found["Tp_D_CRN_S_N_cha00063_art00014_11818.tif"].mask is not None
    assert found["Au_cha_10002.bmp"].group == found["Tp_D_NRD_S_N_cha10002_cha10001_20094.jpg"].group


def test_casia1_and_casia2_side_by_side_each_take_their_own_masks(tmp_path: Path) -> None:
    write(tmp_path / "CASIA 1.0 dataset/Au/Au_ani_0001.jpg")
    write(tmp_path / "CASIA 1.0 dataset/Tp/CM/Sp_S_CND_A_pla0016_pla0016_0196.jpg")
    write(tmp_path / "CASIA 1.0 groundtruth/CM/Sp_S_CND_A_pla0016_pla0016_0196_gt.png", square(255, 0))
    write(tmp_path / "CASIA2.0_revised/Au/Au_ani_00001.jpg")
    write(tmp_path / "CASIA2.0_revised/Tp/Tp_D_CRN_S_N_cha00063_art00014_11818.tif")
    write(tmp_path / "CASIA2.0_Groundtruth/Tp_D_CRN_S_N_cha00063_art00014_11818_gt.png", square(255, 0))
    for folder, format, mask in (
        ("CASIA 1.0 dataset", "casia1", "Sp_S_CND_A_pla0016_pla0016_0196_gt.png"),
        ("CASIA2.0_revised", "casia2", "Tp_D_CRN_S_N_cha00063_art00014_11818_gt.png"),
    ):
        name, records = recognise(tmp_path / folder)
        assert (name, mask_name(records[1])) == (format, mask)


def test_scene_ids_reads_a_dot_for_an_underscore() -> None:
    assert scene_ids("Sp_D_NNN_A_ani0099_ani0100.0288") == ["ani0099", "ani0100"]


def test_columbia_green_is_tampered_and_authentic_edge_masks_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "4cam_auth/canong3_02_sub_01.tif")
    write(tmp_path / "4cam_auth/edgemask/canong3_02_sub_01_edgemask.jpg")
    write(tmp_path / "4cam_splc/canong3_canonxt_sub_01.tif")
    mask = np.zeros((64, 64, 3), dtype=np.uint8)
    mask[:, :32] = (200, 0, 0)  # regular red: the host
    mask[:, 32:] = (0, 200, 0)  # regular green: the spliced part
    mask[16:24, 32:] = (0, 255, 0)  # bright green: its border
    path = tmp_path / "4cam_splc/edgemask/canong3_canonxt_sub_01_edgemask.jpg"
    path.parent.mkdir(parents=True)
    Image.fromarray(mask).save(path, quality=95)

    name, (authentic, spliced) = recognise(tmp_path)

    assert name == "columbia"
    assert (authentic.label, authentic.mask) == (AUTHENTIC, None)
    assert (spliced.label, spliced.mask_rule) == (TAMPERED, "green")
    green = load_mask(spliced.mask, spliced.mask_rule)
    assert green[:, 36:].all()
    assert not green[:, :28].any()


def test_coverage_pairs_numbers_and_takes_the_forged_region(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write(tmp_path / f"image/{number}.tif")
        write(tmp_path / f"image/{number}t.tif")
        for kind in ("forged", "copy", "paste"):
            write(tmp_path / f"mask/{number}{kind}.tif", square(255, 0))
    (tmp_path / "mask/2forged.tif").unlink()

    name, records = recognise(tmp_path)

    assert name == "coverage"
    found = by_name(records)
    assert len(records) == 6
    assert mask_name(found["10t.tif"]) == "10forged.tif"  # "10" sorts before "2": position would pair it wrongly
    assert found["2t.tif"].mask is None
    assert found["2.tif"] == Record(tmp_path / "image/2.tif", AUTHENTIC, group="coverage-2")
    assert found["2t.tif"].group == "coverage-2"


def test_imd2020_has_a_folder_a_topic(tmp_path: Path) -> None:
    write(tmp_path / "1a1ogs/1a1ogs_orig.jpg")
    write(tmp_path / "1a1ogs/c8tf5mq_0.png")
    write(tmp_path / "1a1ogs/c8tf5mq_0_mask.png", square(255, 0))
    write(tmp_path / "1a1ogs/c8tf9zz_0.jpg")
    write(tmp_path / "z28/00065_orig.jpg")
    write(tmp_path / "z28/00065_fake.jpg")
    write(tmp_path / "z28/00065_fake_mask.png", square(255, 0))

    name, records = recognise(tmp_path)

    assert name == "imd2020"
    found = by_name(records)
    assert [r.label for r in records].count(AUTHENTIC) == 2
    assert len(records) == 5
    assert mask_name(found["c8tf5mq_0.png"]) == "c8tf5mq_0_mask.png"
    assert found["c8tf9zz_0.jpg"].mask is None
    assert {r.group for r in records} == {"imd2020-1a1ogs", "imd2020-z28"}


def test_dso1_masks_are_black_where_tampered(tmp_path: Path) -> None:
    write(tmp_path / "DSO-1/normal-01.png")
    write(tmp_path / "DSO-1/splicing-01.png")
    write(tmp_path / "DSO-1-Fake-Images-Masks/splicing-01.png", square(0, 255))

    name, (normal, spliced) = recognise(tmp_path)

    assert name == "dso1"
    assert (normal.label, normal.mask, normal.group) == (AUTHENTIC, None, None)
    assert spliced.mask_rule == "zero"
    np.testing.assert_array_equal(load_mask(spliced.mask, spliced.mask_rule), expected_square())


def test_nist16_table_pairs_different_numbers(tmp_path: Path) -> None:
    for number in ("2031", "0313", "7000"):
        write(tmp_path / f"probe/NC2016_{number}.jpg")
    for number in ("8846", "4424"):
        write(tmp_path / f"reference/manipulation/mask/NC2016_{number}.png", square(0, 255))
    (tmp_path / "reference/manipulation/NC2016-manipulation-ref.csv").write_text(
        "TaskID|ProbeFileID|ProbeFileName|ProbeMaskFileName|IsTarget|BaseFileName\n"
        "m|NC2016_2031|probe/NC2016_2031.jpg|reference/manipulation/mask/NC2016_8846.png|Y|world/NC2016_1.jpg\n"
        "m|NC2016_0313|probe/NC2016_0313.jpg|reference/manipulation/mask/NC2016_4424.png|Y|world/NC2016_1.jpg\n"
        "m|NC2016_7000|probe/NC2016_7000.jpg||N|\n"
    )

    name, records = recognise(tmp_path)

    assert name == "nist16"
    assert [(r.label, mask_name(r), r.group) for r in records] == [
        (TAMPERED, "NC2016_8846.png", "nist16-NC2016_1"),
        (TAMPERED, "NC2016_4424.png", "nist16-NC2016_1"),
        (AUTHENTIC, None, None),
    ]
    np.testing.assert_array_equal(load_mask(records[0].mask, records[0].mask_rule), expected_square())


def test_nist16_table_with_a_column_missing_is_named(tmp_path: Path) -> None:
    table = tmp_path / "reference/manipulation/NC2016-manipulation-ref.csv"
    table.parent.mkdir(parents=True)
    table.write_text("ProbeFileName|IsTarget\n")
    with pytest.raises(DataError, match=r"ref\.csv:1: no column ProbeMaskFileName"):
        read_dataset(tmp_path)


def test_cocoglide_pairs_by_coco_number(tmp_path: Path) -> None:
    for thing, number in (("dining table", 114871), ("bus", 405205)):
        write(tmp_path / f"real/{thing}_{number}.png")
        write(tmp_path / f"mask/{thing}_{number}_mask.png", square(255, 0))
        write(tmp_path / f"fake/glide_inpainting_val2017_{number}_up.png")

    name, records = recognise(tmp_path)

    assert name == "cocoglide"
    found = by_name(records)
    fake = found["glide_inpainting_val2017_114871_up.png"]
    assert (fake.label, mask_name(fake)) == (TAMPERED, "dining table_114871_mask.png")
    assert found["dining table_114871.png"].group == fake.group == "cocoglide-114871"


def test_micc_names_tell_label_and_scene(tmp_path: Path) -> None:
    for name in ("CRW_4853_scale.jpg", "CRW_4853tamp1.jpg", "CRW_4853tamp131.jpg", "IMG_32_scale.jpg"):
        write(tmp_path / name)
    write(tmp_path / "derived_masks/CRW_4853tamp131_derived.png", square(255, 0))

    name, records = recognise(tmp_path)

    assert name == "micc_f220"
    found = by_name(records)
    assert [found[n].label for n in ("CRW_4853_scale.jpg", "CRW_4853tamp1.jpg")] == [AUTHENTIC, TAMPERED]
    assert mask_name(found["CRW_4853tamp131.jpg"]) == "CRW_4853tamp131_derived.png"
    assert found["CRW_4853tamp1.jpg"].mask is None
    assert found["CRW_4853_scale.jpg"].group == found["CRW_4853tamp1.jpg"].group == "micc-CRW_4853"


def test_comofod_suffixes_and_originals_that_repeat(tmp_path: Path) -> None:
    for number in ("001", "002", "003"):
        shade = 10 if number == "003" else 200  # 001 and 002 forge the same original
        for suffix in ("O", "F", "O_JC1", "F_IB3", "M"):
            write(tmp_path / f"{number}_{suffix}.png", np.full((6, 8, 3), shade, dtype=np.uint8))
        write(tmp_path / f"{number}_B.png", square(255, 0))

    name, records = recognise(tmp_path)

    assert name == "comofod"
    found = by_name(records)
    assert len(records) == 12  # no _B, no _M
    assert [found[f"001_{s}.png"].label for s in ("O", "O_JC1", "F", "F_IB3")] == [0, 0, 1, 1]
    assert mask_name(found["002_F_IB3.png"]) == "002_B.png"
    assert found["002_F.png"].group == found["001_O.png"].group == "comofod-001"
    assert found["003_F_IB3.png"].group == "comofod-003"


def test_comofod_sorted_into_folders(tmp_path: Path) -> None:
    for folder in ("orig", "forged"):
        write(tmp_path / folder / "005.png")
    write(tmp_path / "mask/005.png", square(255, 0))
    assert [(r.label, mask_name(r), r.group) for r in read_dataset(tmp_path)] == [
        (AUTHENTIC, None, "comofod-005"),
        (TAMPERED, "005.png", "comofod-005"),
    ]


def test_benco_folder_pairs_by_name_where_positions_are_shifted(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write(tmp_path / "Tp" / name)
    for name in ("b.png", "c_gt.png"):  # none for a: by sorted position a would take b's mask
        write(tmp_path / "Gt" / name, square(255, 0))

    name, records = recognise(tmp_path)

    assert name == "benco"
    assert [mask_name(r) for r in records] == [None, "b.png", "c_gt.png"]
    assert {r.label for r in records} == {TAMPERED}


def test_a_path_of_no_format_is_told_every_reason(tmp_path: Path) -> None:
    write(tmp_path / "holiday.jpg")
    with pytest.raises(DataError) as caught:
        read_dataset(tmp_path)
    message = str(caught.value)
    assert all(f"  {name}: " in message for name in READERS)
    assert "columbia: has no folder 4cam_auth/" in message


def test_a_format_that_is_named_but_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not of format dso1: it has no folder DSO-1/"):
        read_dataset(tmp_path, "dso1")
    with pytest.raises(DataError, match="format must be one of manifest, folders"):
        read_dataset(tmp_path, "dso-1")
    with pytest.raises(DataError, match="no such file or folder"):
        read_dataset(tmp_path / "nowhere")
