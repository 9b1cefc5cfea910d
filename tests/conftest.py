"""Data sets and models that tests make for themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from browsing import BROWSER
from pictures import make_photo
from vilaco.calibration import Calibration
from vilaco.images import encode_jpeg


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; one at a time, as playwright has no two drivers in one thread."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs vilaco[dev]")
    if BROWSER is None:
        pytest.skip("needs Chromium: apt install chromium, or CHROMIUM=path")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small CLIP with random weights and a letter-by-letter tokenizer, as ``save_pretrained`` writes it."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("tiny_clip")
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={token: index for index, token in enumerate(tokens)}, merges=[])
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={
            **layers,
            "vocab_size": len(tokens),
            "max_position_embeddings": 77,
            "bos_token_id": tokens.index("<|startoftext|>"),
            "eos_token_id": tokens.index("<|endoftext|>"),
            "pad_token_id": tokens.index("<|endoftext|>"),
        },
        vision_config={**layers, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_forensic(tiny_clip: Path) -> dict[str, Any]:
    """Configuration of a small ViLaCo with residuals and copy-move, as far as it differs from the defaults."""
    return {
        "encoder": {"family": "clip", "checkpoint": str(tiny_clip)},
        "image_size": 64,
        "prompt": {"context_length": 4},
        "adapter": {"num_heads": 4},
        "text_attention": {"num_heads": 4},
        "residuals": {"channels": 16, "deep_channels": 16, "fine_channels": 8, "depth": 1, "dilations": [1, 2]},
        "copy_move": {"compared": 4, "channels": 8},
        "native_decoder": {"token_channels": 8, "channels": 16, "fine_channels": 8},
    }


@pytest.fixture
def two_piles(tmp_path: Path) -> Path:
    """12 authentic and 12 tampered JPEGs; the tampered ones hold a noisy square, and have masks beside them."""
    rng = np.random.default_rng(0)
    root = tmp_path / "piles"
    for folder in ("authentic", "tampered", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(12):
        (root / "authentic" / f"a{index:02d}.jpg").write_bytes(encode_jpeg(make_photo(rng), 92))
        pixels, mask = make_photo(rng), np.zeros((72, 96), np.uint8)
        top, left = rng.integers(8, 32), rng.integers(8, 56)
        pixels[top : top + 32, left : left + 32] = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        mask[top : top + 32, left : left + 32] = 255
        (root / "tampered" / f"t{index:02d}.jpg").write_bytes(encode_jpeg(pixels, 92))
        cv2.imwrite(str(root / "masks" / f"t{index:02d}.png"), mask)
    lines = [f"authentic/a{i:02d}.jpg,0," for i in range(12)]
    lines += [f"tampered/t{i:02d}.jpg,1,masks/t{i:02d}.png" for i in range(12)]
    (root / "manifest.csv").write_text("path,label,mask\n" + "\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="session")
def tiny_model(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folder of an untrained ViLaCo on :func:`tiny_clip`, 64 pixels a side."""
    import torch

    from vilaco.method.checkpoint import save_checkpoint
    from vilaco.method.vilaco import ViLaCo, ViLaCoConfig

    torch.manual_seed(0)
    heads = {"num_heads": 4}
    config = ViLaCoConfig.model_validate(
        {
            "encoder": {"family": "clip", "checkpoint": str(tiny_clip)},
            "image_size": 64,
            "adapter": heads,
            "text_attention": heads,
        }
    )
    folder = tmp_path_factory.mktemp("tiny_model")
    save_checkpoint(ViLaCo(config), folder)
    return folder


@pytest.fixture(scope="session")
def pixel_model(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folder of an untrained ViLaCo that reads the stored pixels, with maps that are not flat."""
    import torch

    from vilaco.method.checkpoint import save_checkpoint
    from vilaco.method.vilaco import ViLaCo, ViLaCoConfig

    torch.manual_seed(0)
    heads = {"num_heads": 4}
    config = ViLaCoConfig.model_validate(
        {
            "encoder": {"family": "clip", "checkpoint": str(tiny_clip)},
            "image_size": 64,
            "adapter": heads,
            "text_attention": heads,
            "residuals": {},
            "copy_move": {},
        }
    )
    model = ViLaCo(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and not name.startswith("encoder."):
                parameter.add_(torch.randn_like(parameter) / 4)
        model.fine_head.decoder.out.weight.mul_(30)
    folder = tmp_path_factory.mktemp("pixel_model")
    save_checkpoint(model, folder)
    (folder / "README.md").write_text("# Model card: untrained\n")
    return folder


@pytest.fixture(scope="session")
def exported_pixel_model(pixel_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """:func:`pixel_model`, exported."""
    from vilaco.training.export import export_model

    folder = tmp_path_factory.mktemp("exported_pixel_model")
    export_model(pixel_model, folder)
    return folder


@pytest.fixture(scope="session")
def exported_tiny_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """:func:`tiny_model`, calibrated somehow and exported."""
    from vilaco.evaluation.calibrate import write_calibrated
    from vilaco.training.export import export_model

    calibrated, folder = (tmp_path_factory.mktemp(name) for name in ("calibrated_tiny_model", "exported_tiny_model"))
    scores = tuple(i / 20 for i in range(20))
    calibration = Calibration(slope=2, offset=1, map_shift=1.5, authentic_scores=scores, tampered_scores=scores)
    write_calibrated(tiny_model, calibrated, calibration)
    export_model(calibrated, folder)
    return folder
