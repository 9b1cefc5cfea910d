"""Tables and pictures of an evaluation, as a person meets them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from vilaco.data.records import Record
from vilaco.evaluation.evaluate import evaluate
from vilaco.evaluation.plots import Gallery, draw_curves
from vilaco.evaluation.prediction import Prediction
from vilaco.evaluation.published import published_tables
from vilaco.evaluation.results import EvaluationReport, Provenance
from vilaco.evaluation.tables import published_table, report_table
from vilaco.images import Photo, load_photo


class Square:
    """Calls a square tampered that shrinks with the number in the file's name."""

    name = "square"

    def __call__(self, photo: Photo) -> Prediction:
        number = int(Path(photo.source).stem)
        square = np.zeros(photo.upright_size, np.float32)
        square[: 40 - 3 * number, : 40 - 3 * number] = 0.9
        return Prediction(square, number / 20)


def judged(folder: Path, gallery: Gallery) -> EvaluationReport:
    records = []
    mask = np.zeros((40, 60), np.uint8)
    mask[:40, :40] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    for number in range(12):
        path = folder / f"{number}.png"
        Image.fromarray(np.full((40, 60, 3), 20 * number, np.uint8)).save(path)
        records.append(Record(path, number % 2, folder / "mask.png" if number % 2 else None))
    provenance = Provenance(encoder="embedded", weights="abc", image_score="the largest")
    return evaluate(Square(), records, ("wscl", "benco"), observe=gallery.observe, resamples=20, provenance=provenance)


def printed(table) -> str:
    text = io.StringIO()
    Console(width=140, file=text).print(table)
    return text.getvalue()


def test_table_says_what_the_figures_depend_on(tmp_path: Path) -> None:
    report = judged(tmp_path, Gallery())
    text = printed(report_table(report))
    for words in (
        "square on data (measured)",
        "pixel_f1_per_image_mean",
        "image_f1_sen_spe_harmonic",
        "12 images: 6 authentic, 6 tampered; masks used: 6",
        "score: the largest",
        "encoder: embedded; weights: abc",
    ):
        assert words in text
    assert "pixel_f1_reverse" not in text
    assert "pixel_f1_reverse" in printed(report_table(report, everything=True))


def test_a_name_in_brackets_is_a_name(tmp_path: Path) -> None:
    report = judged(tmp_path, Gallery()).model_copy(update={"data": "set[raw]"})
    assert "square on set[raw] (measured)" in printed(report_table(report))


def test_published_tables_are_marked_and_never_hold_measured_rows() -> None:
    for table in published_tables():
        text = printed(published_table(table))
        assert "published" in text
        assert "not measured here" in text
        assert "[1]" in text
    assert ".396" in printed(published_table(published_tables()[0]))  # ViLaCo's mean


def test_gallery_keeps_the_worst_and_the_best_and_no_more(tmp_path: Path) -> None:
    gallery = Gallery(count=2)
    judged(tmp_path, gallery)
    names = [tile.name for tile in (*gallery._best, *gallery._worst)]
    assert names == ["1.png", "3.png", "11.png", "9.png"]
    height, width = load_photo(gallery.draw(tmp_path / "out" / "gallery.png")).upright_size
    assert height > width
    everything = Gallery(count=9)
    judged(tmp_path, everything)
    assert len({*everything._best, *everything._worst}) == 6  # each once


def test_curves_are_drawn_with_one_class_and_whatever_the_name(tmp_path: Path) -> None:
    report = judged(tmp_path, Gallery())
    paths = draw_curves(report, tmp_path / "curves")
    assert [p.name for p in paths] == ["roc.png", "pr.png"]
    assert all(load_photo(p).upright_size[1] > 300 for p in paths)
    authentic = evaluate(Square(), [Record(tmp_path / "2.png", 0)], data="no $formula_$", resamples=0)
    assert all(p.is_file() for p in draw_curves(authentic, tmp_path / "one_class"))
