"""``python -m vilaco``."""

from vilaco.cli.main import main

main()
