"""Fuzz a running service by its own OpenAPI description, for longer than the tests do.

    vilaco serve &
    python benchmarks/serve_fuzz.py [--url http://127.0.0.1:8000] [--examples 500]

Needs schemathesis. Exits with its code: 0 if every answer was as described.
"""

import argparse
import subprocess
import sys


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--examples", type=int, default=500)
    given = parser.parse_args()
    command = ["schemathesis", "run", f"{given.url}/openapi.json", "--max-examples", str(given.examples)]
    command += ["--exclude-checks", "positive_data_acceptance"]  # no schema can ask for a whole image
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
