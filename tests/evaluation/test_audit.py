"""The audit on sets that were made with and without a shortcut."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vilaco.block_dct import block_dct, luma
from vilaco.data.records import Record
from vilaco.errors import DataError, ImageError
from vilaco.evaluation.audit import AuditReport, audit_dataset, audit_page
from vilaco.evaluation.audit.background import MARGIN, free_blocks, largest_free_crop
from vilaco.evaluation.audit.metadata import SavePipeline, read_metadata
from vilaco.evaluation.audit.probe import auc_within_folds, forest, linear, probe, scene_folds
from vilaco.evaluation.audit.regions import Regions, lenders
from vilaco.evaluation.baselines.adq1 import last_step
from vilaco.evaluation.prediction import Prediction
from vilaco.images import Photo, load_photo

SIZE = (128, 160)


def scene(rng: np.random.Generator) -> np.ndarray:
    rough = cv2.resize(rng.integers(0, 256, (10, 12, 3), np.uint8), (SIZE[1], SIZE[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(rough + rng.normal(0, rng.uniform(2, 12), (*SIZE, 3)), 0, 255).astype(np.uint8)


def make_set(folder: Path, *, tampered_quality: int, count: int = 20) -> list[Record]:
    """Photos of scenes of their own; only the saving of the tampered ones may differ."""
    rng = np.random.default_rng(3)
    folder.mkdir()
    records = []
    for index in range(2 * count):
        label = index % 2
        pixels, mask = scene(rng), None
        if label:
            top, left = rng.integers(0, 96), rng.integers(0, 24)
            region = np.zeros(SIZE, np.uint8)
            region[top : top + 32, left : left + 40] = 255
            pixels[region > 0] = scene(rng)[region > 0]
            mask = folder / f"{index}_gt.png"
            Image.fromarray(region).save(mask)
        path = folder / f"{index}.jpg"
        Image.fromarray(pixels).save(path, quality=tampered_quality if label else 90)
        records.append(Record(path, label, mask, group=str(index)))
    return records


@pytest.fixture(scope="module")
def with_shortcut(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    return make_set(tmp_path_factory.mktemp("audit") / "shortcut", tampered_quality=60)


@pytest.fixture(scope="module")
def without_shortcut(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    return make_set(tmp_path_factory.mktemp("audit") / "fair", tampered_quality=90)


class HistoryReader:
    """A model that has learned the shortcut: what was saved with coarse steps is tampered."""

    name = "history reader"

    def __call__(self, photo: Photo) -> Prediction:
        step = last_step(block_dct(luma(photo.pixels))[..., 0, 1])
        return Prediction(np.zeros(photo.upright_size, np.float32), min(1.0, step / 10))


@pytest.fixture(scope="module")
def found(with_shortcut: list[Record]) -> AuditReport:
    return audit_dataset(with_shortcut, data="made with a shortcut", predictor=HistoryReader(), folds=3)


def auc(report: AuditReport, evidence: str, history: str = "as stored") -> float:
    return next(p.auc for p in report.probes if (p.evidence, p.history) == (evidence, history))


def test_a_shortcut_is_found_and_said_in_words(found: AuditReport) -> None:
    assert found.has_shortcut
    assert auc(found, "JPEG tables") == 1.0
    assert auc(found, "background") > 0.95
    assert auc(found, "file type") == auc(found, "dimensions") == 0.5
    assert found.verdict[0].startswith("Labels of made with a shortcut can be told from ")
    assert "JPEG tables" in found.verdict[0]
    assert "from the background alone, with the tampered region cut out" in found.verdict[1]


def test_saving_like_the_tampered_makes_authentic_images_tampered(found: AuditReport) -> None:
    rates = {(alarm.judge, alarm.images): alarm.rate for alarm in found.resave}
    for judge in ("metadata", "picture statistics"):
        assert rates[judge, "authentic, as stored"] < 0.1
        assert rates[judge, "authentic, saved like the tampered"] > 0.9


def test_a_model_that_reads_the_background_is_caught(found: AuditReport) -> None:
    assert found.model is not None
    crop = next(p for p in found.model.probes if p.history == "background crop")
    assert crop.is_shortcut
    assert crop.auc == 1.0
    assert (crop.authentic, crop.tampered) == (20, 20)
    states = {alarm.images for alarm in found.model.alarms}
    assert {"authentic, as stored", "authentic, JPEG 80", "authentic, 0.75x", "tampered, as stored"} <= states


def test_alarms_are_counted_at_the_models_own_threshold(with_shortcut: list[Record]) -> None:
    class Cautious(HistoryReader):
        def __call__(self, photo: Photo) -> Prediction:
            return replace(super().__call__(photo), decision_threshold=1.0)

    report = audit_dataset(with_shortcut, predictor=Cautious(), folds=3)
    assert report.model is not None
    assert {alarm.rate for alarm in report.model.alarms} == {0.0}
    assert next(p for p in report.model.probes if p.history == "background crop").auc == 1.0


def test_a_fair_set_has_none(without_shortcut: list[Record]) -> None:
    report = audit_dataset(without_shortcut, data="fair", folds=3)
    assert not report.has_shortcut
    assert report.verdict[0] == "No shortcut found in fair: metadata and background do not tell the labels."
    assert 0.3 < auc(report, "background") < 0.7
    assert auc(report, "JPEG tables") == 0.5


def test_every_record_is_counted_and_a_set_without_masks_leaves_the_background_undecided(
    with_shortcut: list[Record], tmp_path: Path
) -> None:
    bare = [Record(r.path, r.label, None, r.group) for r in with_shortcut]
    broken, text = tmp_path / "broken.jpg", tmp_path / "text.jpg"
    data = with_shortcut[0].path.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    text.write_text("not a picture")
    odd = [
        Record(broken, 0),
        Record(text, 1),
        Record(tmp_path / "gone.jpg", 0),
        Record(with_shortcut[0].path, None),
    ]
    report = audit_dataset([*bare, *odd, bare[0]], folds=2)
    counts = report.counts
    assert (counts.authentic, counts.tampered) == (20, 20)
    assert (counts.unreadable, counts.unlabelled, counts.duplicates) == (3, 1, 1)
    assert counts.records == 45
    assert {problem.split(":")[0] for problem in report.problems} == {str(r.path) for r in odd[:3]}
    assert "background" not in {probe.evidence for probe in report.probes}
    assert any("0 of 20 tampered images have a mask" in sentence for sentence in report.verdict)


def test_masks_of_one_scene_leave_the_background_undecided(with_shortcut: list[Record]) -> None:
    masked = [record for record in with_shortcut if record.mask][:8]  # enough, but all in one fold
    records = [
        replace(r, group="one scene" if r in masked else r.group, mask=r.mask if r in masked else None)
        for r in with_shortcut
    ]
    report = audit_dataset(records, folds=3)
    assert {"all metadata", "whole picture"} <= {probe.evidence for probe in report.probes}
    assert "background" not in {probe.evidence for probe in report.probes}


def test_too_few_images_are_refused_with_the_count(with_shortcut: list[Record]) -> None:
    with pytest.raises(DataError, match="10 readable authentic images of 5 scenes or more, there are 4 of 4"):
        audit_dataset(with_shortcut[:8], data="tiny")


def test_the_same_seed_gives_the_same_report(with_shortcut: list[Record], found: AuditReport) -> None:
    again = audit_dataset(with_shortcut, data="made with a shortcut", folds=3)
    assert (again.probes, again.resave) == (found.probes, found.resave)
    assert AuditReport.model_validate_json(found.model_dump_json()) == found


def test_the_page_holds_every_figure_and_escapes_names(found: AuditReport) -> None:
    page = audit_page(found.model_copy(update={"data": "<script>x</script>"}))
    assert "<script" not in page
    assert "http" not in page
    for one in found.probes:
        assert f"{one.auc:.3f} ({one.low:.3f} to {one.high:.3f})" in page


def test_auc_within_folds_equals_counting_pairs() -> None:
    rng = np.random.default_rng(0)
    scores, labels, folds = rng.random(60).round(1), rng.random(60) < 0.4, rng.integers(0, 4, 60)
    wins = pairs = 0.0
    for i in np.flatnonzero(labels):
        for j in np.flatnonzero(~labels):
            if folds[i] == folds[j]:
                pairs += 1
                wins += (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
    value, interval = auc_within_folds(scores, labels, folds)
    assert value == pytest.approx(wins / pairs)
    assert interval.low < value < interval.high


@pytest.mark.parametrize("make", [forest, linear])
def test_probes_never_see_a_scene_they_score(make) -> None:
    rng = np.random.default_rng(1)
    scenes = np.repeat(np.arange(40), 4)
    labels = np.repeat(rng.random(40) < 0.5, 4)
    # The features name the scene: who has seen it knows its label, who has not knows nothing.
    features = rng.standard_normal((40, 12))[scenes]
    folds = scene_folds(labels, [str(s) for s in scenes], folds=4, seed=0)
    assert all(len(set(folds[scenes == s])) == 1 for s in range(40))
    probed = probe(features, labels, folds, make=make, seed=0)
    assert 0.25 < auc_within_folds(probed.scores, labels, folds)[0] < 0.75
    np.testing.assert_allclose(probed.rescore(features, np.arange(160)), probed.scores)


def test_metadata_of_a_jpeg_can_be_saved_again(tmp_path: Path) -> None:
    pixels = scene(np.random.default_rng(0))
    for quality, subsampling in ((35, 0), (75, 2), (95, 1)):
        path = tmp_path / "photo.jpg"
        Image.fromarray(pixels).save(path, quality=quality, subsampling=subsampling)
        pipeline = read_metadata(path.read_bytes()).pipeline
        assert pipeline.subsampling == subsampling
        saved = pipeline.save(pixels)
        assert read_metadata(saved).pipeline == pipeline
        np.testing.assert_array_equal(load_photo(saved).pixels, load_photo(path).pixels)


def test_a_file_without_jpeg_tables_is_saved_without_loss(tmp_path: Path) -> None:
    pixels = scene(np.random.default_rng(0))
    Image.fromarray(pixels).save(tmp_path / "photo.tif")
    pipeline = read_metadata((tmp_path / "photo.tif").read_bytes()).pipeline
    assert pipeline == SavePipeline()
    np.testing.assert_array_equal(load_photo(pipeline.save(pixels)).pixels, pixels)


def test_metadata_of_what_is_no_image_names_the_file() -> None:
    with pytest.raises(ImageError, match=r"notes\.jpg: its header cannot be read"):
        read_metadata(b"hello", "notes.jpg")


def test_free_blocks_keep_their_distance() -> None:
    mask = np.zeros((128, 128), bool)
    mask[60, 70] = True
    free = free_blocks(mask)
    for row in range(16):
        for column in range(16):
            near = mask[
                max(0, 8 * row - MARGIN) : 8 * row + 8 + MARGIN,
                max(0, 8 * column - MARGIN) : 8 * column + 8 + MARGIN,
            ]
            assert free[row, column] == (not near.any())


def test_the_largest_crop_equals_trying_every_rectangle() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        free = rng.random((5, 6)) < 0.7
        rows, columns = largest_free_crop(free)
        assert free[rows.start // 8 : rows.stop // 8, columns.start // 8 : columns.stop // 8].all()
        best = max(
            (b - t) * (r - c)
            for t in range(5)
            for b in range(t + 1, 6)
            for c in range(6)
            for r in range(c + 1, 7)
            if free[t:b, c:r].all()
        )
        assert (rows.stop - rows.start) * (columns.stop - columns.start) == 64 * best
    assert largest_free_crop(np.zeros((2, 2), bool)) == (slice(0, 0), slice(0, 0))


def test_authentic_images_borrow_a_mask_that_is_turned_to_their_stored_grid(tmp_path: Path) -> None:
    region = np.zeros((20, 40), np.uint8)
    region[:10] = 255  # upper half, as a person sees it
    Image.fromarray(region).save(tmp_path / "mask.png")
    tampered = Record(tmp_path / "t.jpg", 1, tmp_path / "mask.png")
    authentic = Record(tmp_path / "a.jpg", 0)
    assert lenders([tampered, authentic], seed=0, need_mask=True) == {tampered: tampered, authentic: tampered}
    # Stored lying down (40 high, 20 wide), shown after a quarter turn clockwise as 20 high, 40 wide.
    photo = Photo(np.zeros((40, 20, 3), np.uint8), 6, "a.jpg")
    removed = Regions([tampered, authentic], seed=0).region(authentic, photo)
    assert removed is not None
    np.testing.assert_array_equal(photo.upright(removed), region > 0)
    assert removed[:, :10].all()
    assert not removed[:, 10:].any()


def test_an_empty_mask_removes_nothing_and_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 40), np.uint8)).save(tmp_path / "mask.png")
    record = Record(tmp_path / "t.jpg", 1, tmp_path / "mask.png")
    regions = Regions([record], seed=0)
    assert regions.region(record, Photo(np.zeros((20, 40, 3), np.uint8), 1, "t.jpg")) is None
    assert "no tampered pixel" in regions.unusable[record]
