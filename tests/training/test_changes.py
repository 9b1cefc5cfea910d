"""What a training changed: forgeries of held-out photos, and figures worked out in another way."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from pictures import make_textured
from vilaco.data.forging import StreamConfig
from vilaco.data.loading import WeakRecord
from vilaco.data.records import AUTHENTIC, TAMPERED
from vilaco.errors import DataError
from vilaco.images import load_mask, load_photo
from vilaco.localizer import Localizer
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training.changes import BATCHES, PICTURES, Figures, got_worse, make_forgeries, measure

SMALL = StreamConfig.model_validate({"sizes": [[64, 96], [96, 64]]})


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> list[WeakRecord]:
    folder, images = tmp_path_factory.mktemp("held_out"), []
    for index in range(6):
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), make_textured(np.random.default_rng(index), 100, 130))
        images.append(WeakRecord(path, index % 2, str(index)))
    return images


def test_forgeries_are_half_twins_and_have_masks_and_a_seed_fixes_them(
    held_out: list[WeakRecord], tmp_path: Path
) -> None:
    authentic = held_out[:1]  # of one photo alone
    records = make_forgeries(authentic, SMALL, tmp_path / "a", seed=3)
    assert [record.label for record in records].count(TAMPERED) == BATCHES * PICTURES // 2 == len(records) // 2
    for record in records:
        assert min(load_photo(record.path).upright_size) == 64
        if record.label == TAMPERED:
            assert 0 < load_mask(record.mask).mean() < 0.7
        else:
            assert record.mask is None
    again, other = (make_forgeries(authentic, SMALL, tmp_path / name, seed=seed) for name, seed in (("b", 3), ("c", 4)))
    pairs = [(first.path.read_bytes(), second.path.read_bytes()) for first, second in zip(records, again, strict=True)]
    assert all(first == second for first, second in pairs)
    assert any(
        first.path.read_bytes() != second.path.read_bytes() for first, second in zip(records, other, strict=True)
    )


def test_photos_too_small_to_forge_are_told(tmp_path: Path) -> None:
    Image.new("RGB", (80, 50)).save(tmp_path / "small.png")
    with pytest.raises(DataError, match=r"none of the photos .*small\.png is smaller than 64 pixels a side \(80x50\)"):
        make_forgeries([WeakRecord(tmp_path / "small.png", AUTHENTIC, "x")], SMALL, tmp_path / "out", seed=0)


def test_figures_are_those_of_the_scores_and_maps_that_a_user_meets(
    held_out: list[WeakRecord], tiny_forensic: dict[str, Any], tmp_path: Path
) -> None:
    model = ViLaCo(ViLaCoConfig.model_validate(tiny_forensic)).eval()
    localizer = Localizer(TorchRuntime(model, fingerprint=""), name="tiny")
    forgeries = make_forgeries(held_out[::2], SMALL, tmp_path, seed=0)
    counted: list[int] = []
    figures = measure(localizer, held_out, forgeries, progress=lambda: counted.append(1))
    assert len(counted) == len(held_out) + len(forgeries)

    own = [localizer(record.path) for record in held_out]
    forged = [localizer(record.path) for record in forgeries]
    scores = [[result.detection_score for result in results] for results in (own, forged)]
    labels = [[record.label for record in records] for records in (held_out, forgeries)]
    assert figures.image_auc == pytest.approx(roc_auc_score(labels[0], scores[0]))
    assert figures.forged_image_auc == pytest.approx(roc_auc_score(labels[1], scores[1]))
    half = np.median([score for score, label in zip(scores[1], labels[1], strict=True) if label])
    assert figures.false_alarms == pytest.approx(np.mean(np.array(scores[0])[::2] > half))
    aucs = [
        roc_auc_score(load_mask(record.mask).ravel(), result.localization_map.ravel())
        for record, result in zip(forgeries, forged, strict=True)
        if record.label
    ]
    assert figures.forged_pixel_auc == pytest.approx(np.mean(aucs), abs=1e-3)


def test_what_got_worse_by_more_than_chance_is_named() -> None:
    before = Figures(0.7, 0.2, 0.8, 0.9, 0.4)
    assert got_worse(before, Figures(0.69, 0.21, 0.79, 0.89, 0.39)) == []
    assert got_worse(before, Figures(0.9, 0.1, 0.9, 0.95, 0.5)) == []
    assert got_worse(before, Figures(float("nan"), 0.3, 0.8, 0.8, 0.4)) == [
        "false alarms on held-out photos, half of the forgeries below found",
        "pixel AUC, the same forgeries",
    ]
