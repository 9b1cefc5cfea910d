"""Known vulnerabilities of the versions in ``constraints.txt``, by pip-audit from PyPI's advisories and from OSV's.

    python benchmarks/dependencies.py [--services pypi osv]

A package that a service does not know is not audited, however quiet pip-audit is about it: it is counted apart. Writes
``benchmarks/results/dependencies.json``; exits with 1 if there is a finding, or a package that no service audited.
"""

import argparse
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vilaco.files import write_atomically

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/dependencies.json"
SERVICES = ("pypi", "osv")


def audit(service: str, timeout: int) -> dict[str, Any]:
    """What one service knows."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt", "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", service, "--timeout", str(timeout), "--format", "json"]
    ended = subprocess.run(
        [*command, "--progress-spinner", "off"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if not ended.stdout:
        reason = ended.stderr.strip().splitlines()[-1].partition(":")[0]  # of a traceback
        return {"error": f"not reached ({reason})", "audited": [], "findings": []}
    packages = json.loads(ended.stdout)["dependencies"]
    findings = [
        {
            "package": f"{package['name']} {package['version']}",
            "id": found["id"],
            "aliases": found["aliases"],
            "fixed_in": found["fix_versions"],
        }
        for package in packages
        for found in package.get("vulns", [])
    ]
    audited = [package["name"] for package in packages if "vulns" in package]
    reasons = {package["skip_reason"].partition(":")[0] for package in packages if "skip_reason" in package}
    return {"error": "; ".join(sorted(reasons)) or None, "audited": audited, "findings": findings}


def main() -> int:
    parser = argparse.ArgumentParser(description="Audit the pinned versions.")
    parser.add_argument("--services", nargs="+", choices=SERVICES, default=SERVICES)
    parser.add_argument("--timeout", type=int, default=15, help="Seconds that an answer may take.")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    services = {service: audit(service, options.timeout) for service in options.services}
    audited = {name for answer in services.values() for name in answer["audited"]}
    result = {
        "command": f"python benchmarks/dependencies.py --services {' '.join(options.services)}",
        "packages": len(packages),
        "audited": len(audited),
        "findings": [finding for answer in services.values() for finding in answer["findings"]],
        "services": {
            service: {"audited": len(answer["audited"]), "error": answer["error"]}
            for service, answer in services.items()
        },
        "pip_audit": version("pip-audit"),
    }
    write_atomically(options.out, json.dumps(result, indent=1).encode() + b"\n")
    print(options.out.read_text())
    return int(bool(result["findings"]) or len(audited) < len(packages))


if __name__ == "__main__":
    sys.exit(main())
