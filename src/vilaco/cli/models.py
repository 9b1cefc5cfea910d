"""``vilaco models``: what is installed, and what a model is made of."""

from pathlib import Path

import typer

from vilaco.cli import console
from vilaco.weights import DEFAULT

app = typer.Typer(no_args_is_help=True, help="Models: what is installed, and what they are made of.")


@app.command("list")
def list_models() -> None:
    """List the models that come with the package.

    Example:

        vilaco models list
    """
    import hashlib

    from vilaco.runtimes import MODEL_FILES
    from vilaco.weights import shared_encoders, shipped_models

    def tell(file: Path) -> None:
        data = file.read_bytes()
        typer.echo(f"  {file.name}  {len(data):,} bytes  sha256 {hashlib.sha256(data).hexdigest()}")

    for model in shipped_models():
        typer.echo(f"{model.name}{' (default)' if model.name == DEFAULT else ''}  {model.folder}")
        for file in (model.folder / name for name in MODEL_FILES if (model.folder / name).is_file()):
            tell(file)
    typer.echo("frozen encoders, shared")
    for file in shared_encoders():
        tell(file)


@app.command()
def card(
    model: str = typer.Argument(DEFAULT, help="A shipped model, a model folder, or a hub name."),
) -> None:
    """Print a model's card.

    Example:

        vilaco models card research
    """
    from vilaco.errors import ModelError
    from vilaco.weights import find_model

    file = find_model(model).folder / "README.md"
    if not file.is_file():
        raise ModelError(f"{file.parent}: has no card (README.md)")
    typer.echo(file.read_text("utf-8", errors="replace"))


@app.command()
def describe(
    recipe: str = typer.Argument("paper", help="A recipe's name or YAML file."),
    settings: list[str] = typer.Option([], "--set", help="Override a setting: section.key=value. Repeatable."),
    without: list[str] = typer.Option([], "--without", help="Leave out a box. Repeatable."),
) -> None:
    """Print parameters (trainable and frozen) and multiply-adds of each box, for one image.

    Example:

        vilaco models describe paper --set model.image_size=512
    """
    console.require("train", "torch", "transformers")
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from vilaco.method.describe import describe_model
    from vilaco.method.methods import build_network
    from vilaco.training.recipe import load_recipe

    config = load_recipe(recipe, overrides=settings, without=without).model
    model, size = build_network(config), config.image_size
    table = Table(title=escape(f"{config.method} on {model.encoder.name}, one image of {size} x {size}"))
    for column in ("box", "trainable", "frozen", "multiply-adds"):
        table.add_column(column, justify="left" if column == "box" else "right")
    for row in describe_model(model):
        table.add_row(row.box, f"{row.trainable:,}", f"{row.frozen:,}", f"{row.multiply_adds:,}")
    Console().print(table)
