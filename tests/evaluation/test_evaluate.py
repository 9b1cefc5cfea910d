"""Evaluations of real files on disk: every count adds up, nothing depends on where the files lie."""

import gc
import math
import os
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vilaco.data.records import Record
from vilaco.errors import ConfigError, DataError, ImageError
from vilaco.evaluation.evaluate import evaluate, files_hash
from vilaco.evaluation.prediction import Prediction
from vilaco.evaluation.results import EvaluationReport
from vilaco.images import Photo, resize_pixels

EVERY_PROFILE = ("wscl", "trufor", "benco", "benco_pad", "pooled", "full")


class Redness:
    """Calls red pixels tampered."""

    name = "redness"

    def __call__(self, photo: Photo) -> Prediction:
        pixels = photo.upright(photo.pixels).astype(np.float32) / 255
        red = np.clip(pixels[..., 0] - pixels[..., 1:].max(axis=2), 0, 1).astype(np.float32)
        return Prediction(red, float(red.max()))


def make_set(folder: Path, *, authentic: int = 4, tampered: int = 4) -> list[Record]:
    """Grey pictures; tampered ones have a red square, which is what the mask shows."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    records = []
    for index in range(authentic + tampered):
        label = int(index >= authentic)
        pixels = np.repeat(rng.integers(90, 110, (60, 80, 1)), 3, axis=2).astype(np.uint8)
        mask = np.zeros((60, 80), np.uint8)
        if label:
            mask[10:40, 20 : 50 + index] = 255
            pixels[mask > 0] = (255, 40, 40)
        path = folder / f"{index}.png"
        Image.fromarray(pixels).save(path)
        mask_path = folder / f"{index}_mask.png"
        if label:
            Image.fromarray(mask).save(mask_path)
        records.append(Record(path, label, mask_path if label else None, group=f"scene{index // 2}"))
    return records


def test_a_perfect_method_on_real_files(tmp_path: Path) -> None:
    report = evaluate(Redness(), make_set(tmp_path), EVERY_PROFILE, data="squares", resamples=50)
    assert report["wscl"]["pixel_f1_per_image_mean"].value == pytest.approx(1)
    assert report["wscl"]["combined_f1"].value == pytest.approx(1)
    assert report["full"]["image_auc"].value == 1
    assert report["benco"]["pixel_accuracy_origin_per_image_mean"].images == 8
    figure = report["benco"]["pixel_f1_origin_per_image_mean"]
    assert (figure.images, figure.undefined) == (4, 4)  # authentic images have none
    figure = report["wscl"]["pixel_f1_per_image_mean"]
    assert (figure.images, figure.undefined) == (4, 0)
    assert (report.records, report.authentic, report.tampered, report.pixel_images) == (8, 4, 4, 4)
    assert all(math.isnan(row.pixel_f1) == (row.label == 0) for row in report.images)


def test_every_trouble_is_named_and_every_count_adds_up(tmp_path: Path) -> None:
    good = make_set(tmp_path, tampered=8)
    tampered = good[4:]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nonsense")
    unreadable_mask = tmp_path / "bad_mask.png"
    unreadable_mask.write_bytes(b"nonsense")
    turned = tmp_path / "turned_mask.png"
    Image.fromarray(np.full((80, 60), 255, np.uint8)).save(turned)
    empty = tmp_path / "empty_mask.png"
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(empty)
    records = [
        *good[:5],
        Record(broken, 1),
        Record(tmp_path / "gone.png", 0),
        replace(good[0], label=None),
        replace(tampered[1], mask=None),
        replace(tampered[2], mask=unreadable_mask),
        replace(tampered[3], mask=turned),
        replace(tampered[4], mask=empty),
        replace(tampered[5], mask=tmp_path / "gone_mask.png"),
    ]
    report = evaluate(Redness(), records, ("wscl", "pooled"), resamples=0)
    assert (report.records, report.authentic, report.tampered) == (13, 4, 6)
    assert sum(report.skipped.values()) == 3
    assert report.skipped["unlabelled"] == 1
    assert report.skipped["image_not_found"] == 1
    assert report.pixel_images == 1
    assert report.pixel_skipped["mask_missing"] == 1
    assert report.pixel_skipped["mask_size"] == 1
    assert report.pixel_skipped["mask_all_zero"] == 1
    assert sum(report.pixel_skipped.values()) == 5
    assert len(report.problems) == 8
    size = next(p for p in report.problems if p.reason == "mask_size")
    assert size.path == "7.png"
    assert size.detail == "the mask is 60x80, the image 80x60"
    resized = evaluate(Redness(), records, resamples=0, mask_policy="resize")
    assert resized.pixel_images == 2
    assert resized.adjusted == {"mask_resized": 1}
    for record in records[8:]:
        with pytest.raises(DataError, match=str((record.mask or record.path).name)):
            evaluate(Redness(), [record], mask_policy="fail")


def test_masks_that_are_not_binary_are_used_named_and_counted(tmp_path: Path) -> None:
    records = make_set(tmp_path)
    with Image.open(records[4].mask) as picture:
        mask = np.array(picture)
    mask[10, 20:50] = 90
    Image.fromarray(mask).save(records[4].mask)
    report = evaluate(Redness(), records, ("wscl", "benco"), resamples=0)
    assert report.adjusted == {"mask_not_binary": 1}
    assert [problem.path for problem in report.problems] == ["4.png"]
    assert report.pixel_images == 4
    assert report["wscl"]["pixel_f1_per_image_mean"].value == pytest.approx(1)  # any non-zero pixel is tampered
    assert report["benco"]["pixel_f1_origin_per_image_mean"].value < 1  # 90 is below 127.5


def test_an_empty_mask_file_is_not_a_mask_of_zeros(tmp_path: Path) -> None:
    records = make_set(tmp_path, tampered=2)
    records[4].mask.write_bytes(b"")
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(records[5].mask)
    assert evaluate(Redness(), records, resamples=0).pixel_skipped == {"mask_empty": 1, "mask_all_zero": 1}


def test_a_report_whose_counts_do_not_add_up_cannot_be_built(tmp_path: Path) -> None:
    whole = evaluate(Redness(), make_set(tmp_path), resamples=0).model_dump()
    for wrong in ({"records": 9}, {"pixel_images": 3}, {"skipped": {"unlabelled": 1}}):
        with pytest.raises(ValueError, match="add up"):
            EvaluationReport(**{**whole, **wrong})


def test_a_predictor_that_gives_up_is_counted(tmp_path: Path) -> None:
    class GivesUp(Redness):
        def __call__(self, photo: Photo) -> Prediction:
            if photo.source.endswith("0.png"):
                raise ImageError(photo.source, "no idea", code="no_idea")
            return super().__call__(photo)

    report = evaluate(GivesUp(), make_set(tmp_path), resamples=0)
    assert report.skipped == {"no_idea": 1}
    assert report.problems[0].path == "0.png"
    with pytest.raises(DataError, match=r"squares: no image could be evaluated \(1 no_idea\)"):
        evaluate(GivesUp(), make_set(tmp_path)[:1], data="squares")


def test_one_class_leaves_undefined_figures_undefined(tmp_path: Path) -> None:
    records = make_set(tmp_path)
    authentic = evaluate(Redness(), records[:4], EVERY_PROFILE, resamples=20)
    for name in ("pixel_f1_per_image_mean", "combined_f1", "image_auc", "image_f1_sen_spe_harmonic"):
        figure = authentic["wscl"][name]
        assert math.isnan(figure.value)
        assert math.isnan(figure.low)
    assert math.isnan(authentic["full"]["pixel_f1_oracle_set_threshold"].value)
    assert authentic["wscl"]["pixel_f1_per_image_mean"].images == 0
    assert authentic["wscl"]["image_accuracy"].value == 1
    tampered = evaluate(Redness(), records[4:], EVERY_PROFILE, resamples=20)
    assert math.isnan(tampered["full"]["image_eer"].value)
    assert tampered["full"]["pixel_f1_per_image_mean"].value == 1


def test_undefined_images_are_counted_beside_the_mean(tmp_path: Path) -> None:
    records = make_set(tmp_path)
    thin = np.zeros((60, 80), np.uint8)
    thin[10:20, 20:70] = 255  # erodes to nothing under 15x15
    Image.fromarray(thin).save(tmp_path / "thin.png")
    records[4] = replace(records[4], mask=tmp_path / "thin.png")
    figure = evaluate(Redness(), records, ("trufor",), resamples=0)["trufor"].figures[0]
    assert (figure.images, figure.undefined, figure.value) == (3, 1, 1.0)


def test_saved_report_reads_back_and_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    records = make_set(tmp_path / "a")
    report = evaluate(Redness(), records, EVERY_PROFILE, resamples=30, seed=5)
    files = report.save(tmp_path / "out")
    assert [f.name for f in files] == ["evaluation.json", "metrics.csv", "images.csv"]
    back = EvaluationReport.model_validate_json(files[0].read_text())
    assert back.model_dump_json() == report.model_dump_json()
    again = evaluate(Redness(), make_set(tmp_path / "b"), EVERY_PROFILE, resamples=30, seed=5)
    assert again.model_dump_json() == report.model_dump_json()  # another folder, same numbers
    lines = files[1].read_text().splitlines()
    assert len(lines) == 1 + sum(len(p.figures) for p in report.profiles)
    assert len(files[2].read_text().splitlines()) == 9


def test_a_name_that_is_not_utf_8_is_written_out(tmp_path: Path) -> None:
    records = make_set(tmp_path / "set", authentic=1, tampered=1)
    latin = tmp_path / "set" / os.fsdecode(b"caf\xe9.png")
    records[0].path.rename(latin)
    broken = tmp_path / "set" / os.fsdecode(b"\xff.png")
    broken.write_bytes(b"no picture")
    records = [replace(records[0], path=latin, group=latin.stem), records[1], Record(broken, 0)]
    report = evaluate(Redness(), records, data=latin.stem, resamples=0)
    report.save(tmp_path / "out")
    saved = EvaluationReport.model_validate_json((tmp_path / "out/evaluation.json").read_text())
    assert (saved.data, saved.images[0].path, saved.images[0].group) == (r"caf\xe9", r"caf\xe9.png", r"caf\xe9")
    assert saved.problems[0].path == r"\xff.png"


def test_file_list_hash_knows_paths_and_labels(tmp_path: Path) -> None:
    records = make_set(tmp_path)
    assert files_hash(records) == files_hash(records[::-1])
    assert files_hash(records) != files_hash(records[1:])
    assert files_hash(records) != files_hash([replace(records[0], label=1), *records[1:]])


def test_order_of_records_changes_no_figure(tmp_path: Path) -> None:
    records = make_set(tmp_path)
    forward = evaluate(Redness(), records, EVERY_PROFILE, resamples=0)
    backward = evaluate(Redness(), records[::-1], EVERY_PROFILE, resamples=0)
    for one, other in zip(forward.profiles, backward.profiles, strict=True):
        values = [[f.value for f in p.figures] for p in (one, other)]
        np.testing.assert_allclose(values[0], values[1], atol=1e-12)


def test_an_exif_turned_photo_meets_its_mask_upright(tmp_path: Path) -> None:
    record = make_set(tmp_path)[-1]
    upright = Image.open(record.path)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    stored = upright.rotate(90, expand=True)
    path = tmp_path / "turned.jpg"
    stored.save(path, quality=95, exif=exif, subsampling=0)
    report = evaluate(Redness(), [replace(record, path=path)], resamples=0)
    assert report["wscl"]["pixel_f1_per_image_mean"].value > 0.97
    assert not report.adjusted


def test_a_re_save_reaches_the_method_and_the_report(tmp_path: Path) -> None:
    seen = []

    class Watching(Redness):
        def __call__(self, photo: Photo) -> Prediction:
            seen.append(photo.pixels)
            return super().__call__(photo)

    records = make_set(tmp_path)
    evaluate(Watching(), records[-1:], resamples=0)
    report = evaluate(Watching(), records[-1:], resamples=0, resave_jpeg_quality=40)
    assert report.preprocessing == "JPEG 40"
    assert seen[0].shape == seen[1].shape
    assert not np.array_equal(seen[0], seen[1])


def test_maps_of_a_resized_photo_come_back_to_the_native_size(tmp_path: Path) -> None:
    def halve(photo: Photo) -> Photo:
        return replace(photo, pixels=resize_pixels(photo.pixels, (30, 40)))

    records = make_set(tmp_path)
    report = evaluate(Redness(), records, resamples=0, transform=halve, preprocessing="half size")
    assert report.preprocessing == "half size"
    assert report.adjusted == {"map_resized": 8}
    assert report["wscl"]["pixel_f1_per_image_mean"].value > 0.9
    with pytest.raises(ConfigError, match="name"):
        evaluate(Redness(), records, transform=halve)


def test_no_map_is_kept(tmp_path: Path) -> None:
    maps: list[weakref.ref] = []
    most = 0

    class Tracked(Redness):
        def __call__(self, photo: Photo) -> Prediction:
            nonlocal most
            prediction = super().__call__(photo)
            maps.append(weakref.ref(prediction.localization_map))
            gc.collect()
            most = max(most, sum(ref() is not None for ref in maps))
            return prediction

    evaluate(Tracked(), make_set(tmp_path), EVERY_PROFILE, resamples=0)
    assert most <= 2  # this one, and the one before it until the loop moves on


def test_benco_takes_only_bright_mask_pixels_and_wscl_all(tmp_path: Path) -> None:
    record = make_set(tmp_path)[-1]
    mask = np.zeros((60, 80), np.uint8)
    mask[:30], mask[30:] = 255, 100
    Image.fromarray(mask).save(tmp_path / "grey.png")

    class TopHalf:
        name = "top half"

        def __call__(self, photo: Photo) -> Prediction:
            top = np.zeros(photo.upright_size, np.float32)
            top[:30] = 1
            return Prediction(top, 1.0)

    report = evaluate(TopHalf(), [replace(record, mask=tmp_path / "grey.png")], EVERY_PROFILE, resamples=0)
    assert report["full"]["pixel_iou_per_image_mean"].value == 0.5
    assert report["benco_pad"]["pixel_iou_origin_per_image_mean"].value == 1


def test_the_development_data_has_the_counts_its_readme_states() -> None:
    folder = Path(__file__).resolve().parents[2] / "../shared/data/casia1_dev"
    if not (folder / "manifest.csv").is_file():
        pytest.skip("needs the development data (casia1_dev) beside the project")
    from vilaco.data.formats import read_dataset

    records = read_dataset(folder / "manifest.csv")
    few = [r for r in records if r.label == 0][:10] + [r for r in records if r.label == 1][:30]
    few += [r for r in records if r.label == 1 and r.mask is None]

    class Everything:
        name = "all ones"

        def __call__(self, photo: Photo) -> Prediction:
            return Prediction(np.ones(photo.upright_size, np.float32), 1.0)

    report = evaluate(Everything(), few, ("wscl", "full"), resamples=0)
    assert report.pixel_skipped == {"mask_missing": 1}
    assert report["wscl"]["image_f1_sen_spe_harmonic"].value == 0
    assert report["full"]["image_f1_ordinary"].value == pytest.approx(62 / 72)
    assert report["full"]["pixel_auc_per_image_mean"].value == 0.5
