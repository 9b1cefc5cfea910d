"""``vilaco serve``: the page and the HTTP API."""

from pathlib import Path

import typer

from vilaco.cli import console
from vilaco.weights import DEFAULT

_LIMITS = "Limits"


def serve(
    model: str = typer.Option(DEFAULT, "--model", "-m", help="A shipped model, a model folder, or a hub name."),
    device: str | None = typer.Option(None, help="A torch device, for a model that PyTorch runs.", show_default=False),
    max_false_alarms: float | None = typer.Option(
        None,
        metavar="RATE",
        help="Share of authentic photos that may be called tampered, between 0 and 1; the model's own by default.",
        show_default=False,
    ),
    trust_anchors: Path | None = typer.Option(
        None,
        metavar="FILE|FOLDER",
        help="PEM certificates of those whose content credentials are trusted; or set VILACO_TRUST_ANCHORS.",
        show_default=False,
    ),
    host: str = typer.Option("127.0.0.1", help="Address to listen on; any but localhost needs a token."),
    port: int = typer.Option(8000, help="Port to listen on; 0 takes a free one."),
    token: str | None = typer.Option(
        None, envvar="VILACO_SERVE_TOKEN", hidden=True, help="Only read from the environment, which ps does not show."
    ),
    token_file: Path | None = typer.Option(
        None,
        help="File with the token that callers must show, 16 characters at least; or set VILACO_SERVE_TOKEN.",
        show_default=False,
    ),
    allowed_host: list[str] = typer.Option(
        [], metavar="NAME", help="Name, beside localhost, by which the service is reached. Repeatable."
    ),
    max_body_mb: float = typer.Option(25, help="Largest request, in MiB.", rich_help_panel=_LIMITS),
    max_megapixels: float = typer.Option(50, help="Largest picture, in millions of pixels.", rich_help_panel=_LIMITS),
    max_photos: int = typer.Option(32, help="Most photos in one request.", rich_help_panel=_LIMITS),
    max_queue: int = typer.Option(64, help="Most photos that wait or are looked at.", rich_help_panel=_LIMITS),
    max_uploads: int = typer.Option(16, help="Most requests being received at once.", rich_help_panel=_LIMITS),
    at_once: int = typer.Option(1, help="Photos in the model at once; one uses all cores.", rich_help_panel=_LIMITS),
    keep_minutes: float = typer.Option(
        30, help="Photos and results are deleted so long after they are judged.", rich_help_panel=_LIMITS
    ),
    max_kept_mb: float = typer.Option(2048, help="Most MiB of them kept meanwhile.", rich_help_panel=_LIMITS),
    upload_seconds: float = typer.Option(60, help="A request has to arrive within.", rich_help_panel=_LIMITS),
    decode_seconds: float = typer.Option(20, help="A picture has to be decoded within.", rich_help_panel=_LIMITS),
    decode_mb: int = typer.Option(
        2048, help="Memory that decoding one picture may take, in MiB.", rich_help_panel=_LIMITS
    ),
) -> None:
    """Serve a page for people and an HTTP API for programs, on this machine.

    Open the address that it prints, and drop photos on the page. Nothing leaves the machine: the page loads nothing
    from elsewhere, no address is ever fetched, and photos are deleted after --keep-minutes and when the service ends.
    Ctrl-C stops it once the requests in progress are answered.

    Any address but localhost needs a token, from VILACO_SERVE_TOKEN or --token-file. The API describes itself at
    /openapi.json; health is at /healthz, Prometheus' counters are at /metrics.

    Examples:

        vilaco serve

        vilaco serve --model runs/mine/calibrated --port 8080

        VILACO_SERVE_TOKEN=$(openssl rand -hex 16) vilaco serve --host 0.0.0.0
    """
    console.require("serve", "fastapi", "uvicorn", "python_multipart", "prometheus_client")
    from vilaco.serve.settings import make_settings, read_token

    settings = make_settings(
        host=host,
        port=port,
        token=token if token_file is None else read_token(token_file),
        allowed_hosts=tuple(allowed_host),
        max_body_mb=max_body_mb,
        max_megapixels=max_megapixels,
        max_photos=max_photos,
        max_queue=max_queue,
        max_uploads=max_uploads,
        at_once=at_once,
        keep_minutes=keep_minutes,
        max_kept_mb=max_kept_mb,
        upload_seconds=upload_seconds,
        decode_seconds=decode_seconds,
        decode_mb=decode_mb,
        trust_anchors=trust_anchors,
    )

    from vilaco.localizer import Localizer
    from vilaco.serve.app import create_app
    from vilaco.serve.run import listen, serve

    with listen(settings) as listening:
        localizer = Localizer.load(model, device=device, max_false_alarms=max_false_alarms)

        def ready(address: str) -> None:
            console.note(f"vilaco serves {localizer.name} at {address}  (Ctrl-C stops)")

        serve(create_app(localizer, settings), listening, ready=ready)
