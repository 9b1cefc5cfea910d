"""``vilaco export``: a model that runs without PyTorch."""

from pathlib import Path

import typer

from vilaco.cli import console


def export(
    model: str = typer.Argument(help="A shipped model, a model folder, or a hub name.", show_default=False),
    out: Path = typer.Option(..., "--out", "-o", help="The exported model; a new or empty folder."),
    int8: list[str] = typer.Option(
        [],
        metavar="PHOTOS",
        help="Compute in int8, with the ranges of a few dozen typical photos: files, folders, globs. Repeatable.",
    ),
) -> None:
    """Export a model to ONNX, so that the base install runs it, without PyTorch.

    The frozen encoder, the preprocessing and the calibration lie in the files; nothing else is needed. Large weights
    are stored as float16. Before anything is written, the exported model and PyTorch have to agree on pictures of
    several sizes, with --int8 also on the photos given.

    --int8 is for models that read the stored pixels: faster on large photos, at a small difference, which
    is printed. The photos only fix ranges; no label or mask is needed.

    Examples:

        vilaco export runs/mine/calibrated --out runs/mine/onnx

        vilaco export runs/mine/calibrated --out runs/mine/int8 --int8 holiday/

        vilaco detect photo.jpg --model runs/mine/onnx
    """
    console.require("train", "torch", "transformers", "onnx", "onnxscript")
    from vilaco.files import find_images
    from vilaco.training.export import export_model
    from vilaco.weights import find_model

    photos = [image.path for image in find_images(int8)]
    report = export_model(find_model(model).folder, out, int8_photos=photos)
    for name, size in report.sizes.items():
        typer.echo(f"{out / name}  {size:,} bytes")
    console.note(f"differs from PyTorch: {report.differences}")
