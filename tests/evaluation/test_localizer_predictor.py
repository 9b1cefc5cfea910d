import json
import shutil
from pathlib import Path

import numpy as np

from pictures import make_photo
from vilaco.calibration import Calibration
from vilaco.evaluation.localizer_predictor import LocalizerPredictor, model_provenance
from vilaco.images import load_photo
from vilaco.localizer import Localizer


def test_a_model_is_judged_by_what_users_get_and_named_whole(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    localizer = Localizer.load(folder, device="cpu")
    photo = load_photo(make_photo(np.random.default_rng(0)))
    prediction, result = LocalizerPredictor(localizer)(photo), localizer.predict(photo)
    np.testing.assert_array_equal(prediction.localization_map, result.localization_map)
    assert prediction.detection_score == result.detection_score
    assert prediction.decision_threshold == result.decision_threshold

    provenance = model_provenance(localizer, folder)
    assert (provenance.encoder, provenance.weights) == (localizer.encoder_name, localizer.fingerprint)
    assert provenance.image_score == "the model's detection score"
    assert provenance.training_seed is None  # saved without its recipe
    config = json.loads((folder / "config.json").read_text())
    config["trained_with"] = {"recipe": {"training": {"seed": 7}}}
    (folder / "config.json").write_text(json.dumps(config))
    assert model_provenance(localizer, folder).training_seed == 7

    calibration = Calibration(slope=1, offset=0, map_shift=0, authentic_scores=[0.5] * 19, tampered_scores=[0.5] * 19)
    calibrated = Localizer(localizer.runtime, name=localizer.name, calibration=calibration)
    assert model_provenance(calibrated, folder).image_score == "the model's detection score, calibrated"
