"""What ``vilaco serve`` allows: one settings model, checked when it is built."""

import ipaddress
import re
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from vilaco.errors import ConfigError

MIB = 1 << 20
_HOST_NAME = re.compile(r"[^\s/:@\[\]]+")


class ServeSettings(BaseModel):
    """Where the service listens, who may use it, and how much of everything it takes.

    Raises:
        ValidationError: If a value is out of range, or the address can be reached from other machines and there is
            no token.

    Example:
        >>> ServeSettings().max_body
        26214400
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; any but localhost needs a token.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    token: SecretStr | None = Field(None, description="What callers must show; at least 16 characters, no space.")
    allowed_hosts: tuple[str, ...] = Field((), description="Names, beside localhost, that the service is reached by.")
    max_body_mb: float = Field(25, gt=0, description="Largest request, in MiB.")
    max_megapixels: float = Field(50, gt=0, description="Largest picture, in millions of pixels.")
    max_photos: int = Field(32, ge=1, description="Most photos in one request.")
    max_queue: int = Field(64, ge=1, description="Most photos that wait or are looked at.")
    max_uploads: int = Field(16, ge=1, description="Most requests whose body is being received.")
    at_once: int = Field(1, ge=1, description="Photos in the model at once; one uses all cores.")
    keep_minutes: float = Field(30, gt=0, description="After so long, a photo and its results are deleted.")
    max_kept_mb: float = Field(2048, gt=0, description="Most MiB of photos and results kept meanwhile.")
    upload_seconds: float = Field(60, gt=0, description="A request has to arrive within.")
    decode_seconds: float = Field(20, gt=0, description="A picture has to be decoded within.")
    decode_mb: int = Field(2048, ge=512, description="Memory that decoding one picture may take, in MiB.")
    trust_anchors: Path | None = Field(None, description="PEM file or folder: whose content credentials are trusted.")

    @field_validator("allowed_hosts")
    @classmethod
    def _bare_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _HOST_NAME.fullmatch(name) and not _is_address(name):
                raise ValueError(f"{name!r} is no host's name; give it without http://, port and path")
        return tuple(name.lower().strip("[]") for name in names)  # as `Host` is compared

    @model_validator(mode="after")
    def _safe_to_reach(self) -> Self:
        secret = self.token.get_secret_value() if self.token else None
        if secret is not None and (len(secret) < 16 or not secret.isascii() or any(c.isspace() for c in secret)):
            raise ValueError("the token needs at least 16 ASCII characters and no space")
        if secret is None and not is_loopback(self.host):
            raise ValueError(
                f"{self.host} can be reached from other machines, so a token is needed: set VILACO_SERVE_TOKEN or "
                "give --token-file"
            )
        return self

    @property
    def max_body(self) -> int:
        """Largest request, in bytes."""
        return round(self.max_body_mb * MIB)

    @property
    def max_pixels(self) -> int:
        """Largest width times height."""
        return round(self.max_megapixels * 1e6)


def make_settings(**values: object) -> ServeSettings:
    """Settings from what the user gave; ``None`` stands for the default.

    Raises:
        ConfigError: In one line.
    """
    try:
        return ServeSettings.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{field}: {message}" if field else message) from None


def read_token(file: Path) -> str:
    """The token that a file holds, without the line end.

    Raises:
        ConfigError: If the file cannot be read.
    """
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ConfigError(f"{file}: the token cannot be read ({reason})") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host name or address.

    Example:
        >>> is_loopback("localhost"), is_loopback("[::1]"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
