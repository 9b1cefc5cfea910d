"""Reports on paper: the same pages through WeasyPrint, which lays them out without a browser."""

import logging

from vilaco.errors import ConfigError

DEBIAN_PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
"""What WeasyPrint needs of Debian and Ubuntu, besides its Python packages."""


def require_pdf() -> None:
    """Say in one line what to install where PDFs cannot be made.

    Raises:
        ConfigError: If WeasyPrint or its libraries are missing.
    """
    try:
        import weasyprint  # noqa: F401
    except ImportError:
        raise ConfigError("PDF reports need WeasyPrint; run: pip install 'vilaco[report]'") from None
    except OSError as error:  # a shared library that pip cannot bring
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"WeasyPrint lacks a system library ({reason}); on Debian or Ubuntu run: apt install {DEBIAN_PACKAGES}"
        ) from None


def to_pdf(page: str) -> bytes:
    """Lay a report out for A4; only pictures inside the page are read.

    Args:
        page: Of :func:`~vilaco.report.html.render_case` or :func:`~vilaco.report.html.render_index`, not interactive.
    """
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    logging.getLogger("weasyprint").setLevel(logging.CRITICAL)  # it warns of each style rule that is for screens
    document = HTML(string=page, url_fetcher=URLFetcher(allowed_protocols=["data"]))
    return bytes(document.write_pdf())
