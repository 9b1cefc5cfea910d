"""Fuzz the service by its own OpenAPI description, for longer than the tests do.

    python benchmarks/serve_fuzz.py [--examples 500] [--seed 0]

Starts ``vilaco serve`` as a process of its own with its default settings and lets schemathesis send requests, right and
wrong ones. Writes ``benchmarks/results/serve_fuzz.json``; exits with 1 unless every answer was as described and the
service lives on.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2

from vilaco.files import write_atomically
from vilaco.weights import DEFAULT

RESULT = Path(__file__).parent / "results" / "serve_fuzz.json"
UNKNOWABLE = "positive_data_acceptance"  # no schema can ask for a whole image
SETTINGS = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]

[[operations]]
include-path = ["/v1/compare", "/v1/comparisons"]
checks.negative_data_rejection.enabled = false

[[operations]]
include-path-regex = "^/v1/comparisons"
checks.ensure_resource_availability.enabled = false
"""
"""Where schemathesis sees faults that are none. 503 is described, and right where requests come faster than photos are
judged. Any bytes are a file as part of a form, also those that it means to be wrong. What is handed in with 202 is not
there before it is looked at."""


def fuzz(base: str, examples: int, seed: int) -> dict[str, Any]:
    """The report of schemathesis."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        Path(folder, "schemathesis.toml").write_text(SETTINGS)
        options = f"--max-examples {examples} --seed {seed} --exclude-checks {UNKNOWABLE} --request-timeout 60"
        tool = str(Path(sys.executable).with_name("schemathesis"))
        command = [tool, "run", f"{base}/openapi.json", *options.split()]
        command += ["--report", "json", "--report-json-path", str(report)]
        subprocess.run(command, cwd=folder, stdout=sys.stderr, check=False)
        return json.loads(report.read_bytes())


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the service.")
    parser.add_argument("--examples", type=int, default=500, help="Of each operation, in each phase.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    command = [sys.executable, "-m", "vilaco", "serve", "--port", "0", "--model", given.model]
    service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    started = time.monotonic()
    try:
        assert service.stderr is not None
        address = re.search(r"http://\S+", service.stderr.readline())
        assert address is not None
        base = address[0].rstrip("/")
        report = fuzz(base, given.examples, given.seed)
        lives = httpx2.get(f"{base}/healthz", timeout=60).status_code == 200
    finally:
        service.terminate()
        service.wait()
    result = {
        "command": f"python benchmarks/serve_fuzz.py --examples {given.examples} --seed {given.seed}",
        "operations": report["operations"]["tested"],
        "requests": report["test_cases"]["generated"],
        "failures": [f"{each['title']}: {', '.join(each['operations'])}" for each in report["failures"]],
        "errors": len(report["errors"]),
        "complete": report["complete"],
        "service_lives": lives,
        "seconds": round(time.monotonic() - started, 1),
        "schemathesis": version("schemathesis"),
    }
    write_atomically(given.out, json.dumps(result, indent=1).encode() + b"\n")
    print(given.out.read_text())
    return int(bool(report["failures"] or report["errors"]) or not report["complete"] or not lives)


if __name__ == "__main__":
    sys.exit(main())
