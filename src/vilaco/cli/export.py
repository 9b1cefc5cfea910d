"""``vilaco export``: a model that runs without PyTorch."""

from pathlib import Path

import typer

from vilaco.cli import console


def export(
    model: str = typer.Argument(help="A shipped model, a model folder, or a hub name.", show_default=False),
    out: Path = typer.Option(..., "--out", "-o", help="The exported model; a new or empty folder."),
) -> None:
    """Export a model to ONNX, so that the base install runs it, without PyTorch.

    The frozen encoder, the preprocessing and the calibration lie in the files; nothing else is needed. Before anything
    is written, the exported model and PyTorch have to agree on pictures of several sizes.

    Example:

        vilaco export runs/mine/calibrated --out runs/mine/onnx

        vilaco detect photo.jpg --model runs/mine/onnx
    """
    console.require("train", "torch", "transformers", "onnx", "onnxscript")
    from vilaco.training.export import export_model
    from vilaco.weights import find_model

    report = export_model(find_model(model).folder, out)
    for name, size in report.sizes.items():
        typer.echo(f"{out / name}  {size:,} bytes")
    console.note(f"differs from PyTorch: {report.differences}")
