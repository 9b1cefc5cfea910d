"""Write the figures of ``docs/reliability.md`` from the result files.

    python benchmarks/reliability_page.py

The table between the page's two marks is rewritten from ``benchmarks/results/*.json`` and from what the tests hold;
a row whose result file is missing says so, with the command that makes it. The prose around it stays as it is.
"""

import ast
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vilaco.files import write_atomically

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks/results", ROOT / "docs/reliability.md"
BEGIN, END = "<!-- figures: python benchmarks/reliability_page.py -->", "<!-- end of figures -->"


@dataclass(frozen=True)
class Measured:
    """A row from a result file.

    Attributes:
        must_hold: What, and at which level.
        benchmark: Name of the script, and of its result.
        figure: Of the result.
    """

    must_hold: str
    benchmark: str
    figure: Callable[[dict[str, Any]], str]

    def row(self) -> str:
        file = RESULTS / f"{self.benchmark}.json"
        if not file.exists():
            return f"| {self.must_hold} | `python benchmarks/{self.benchmark}.py` | not measured yet |"
        result = json.loads(file.read_bytes())
        link = f"[{file.name}](../benchmarks/results/{file.name})"
        return f"| {self.must_hold} | `{result['command']}` | {self.figure(result)} ({link}) |"


@dataclass(frozen=True)
class Tested:
    """A row that tests check each time they run.

    Attributes:
        must_hold: What, and at which level.
        tests: Files, and functions in them.
        figure: Counted, or the answer that is documented.
    """

    must_hold: str
    tests: dict[str, tuple[str, ...]]
    figure: Callable[[], str]

    def row(self) -> str:
        for file, functions in self.tests.items():
            missing = set(functions) - functions_of(ROOT / file)
            assert not missing, f"{file} has no {', '.join(sorted(missing))}"
        links = ", ".join(f"[{file}](../{file})" for file in self.tests)
        return f"| {self.must_hold} | {links} | {self.figure()} |"


def functions_of(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


def count_bad_inputs() -> int:
    sys.path.insert(0, str(ROOT / "tests"))
    from bad_inputs import BAD_INPUTS

    return len(BAD_INPUTS)


def fuzz_decoder(result: dict[str, Any]) -> str:
    slopes = " and ".join(f"{slope:+.2f} MiB" for slope in result["memory_slope_mib_per_10000_images"])
    return (
        f"{result['images']:,} images: {len(result['other_exceptions'])} unexpected exceptions, "
        f"{len(result['deaths'])} crashes, {len(result['standstills'])} stops of more than 10 s; "
        f"slowest {result['slowest_seconds']:.2f} s; memory {slopes or 'not measured'} for 10,000 images "
        "after warm-up"
    )


def serve_fuzz(result: dict[str, Any]) -> str:
    return (
        f"{result['requests']:,} requests to {result['operations']} operations: {len(result['failures'])} kinds of "
        f"answer that are not as described, {result['errors']} without an answer; the service "
        f"{'lives on' if result['service_lives'] else 'died'}"
    )


def serve_load(result: dict[str, Any]) -> str:
    answers = sum(result["answers"].values())
    return (
        f"{result['clients']} clients, {result['minutes']:g} minutes, {result['cores']} cores: {answers:,} answers, "
        f"{result['server_errors']} of them 5xx, {result['without_answer']} requests without an answer; "
        f"p95 {result['seconds_p95']:.1f} s; memory {result['memory_growth']:+.1%} after warm-up"
    )


def scan_killed(result: dict[str, Any]) -> str:
    killed = result["killed"]
    return (
        f"{killed['images']:,} images, killed {len(killed['killed_after_seconds'])} times: "
        f"{killed['without_a_row']} without a row, {killed['with_more_than_one_row']} with more than one; "
        f"{killed['pictures_not_whole']} of {killed['pictures']:,} pictures not whole"
    )


def scan_throughput(result: dict[str, Any]) -> str:
    return (
        f"{result['local_share_of_model_alone']:.0%} of the model alone, with {result['workers']} workers; "
        f"Ray {result['ray_share_of_local']:.0%} of local"
    )


def train_reliability(result: dict[str, Any]) -> str:
    trials = {
        name: [course[name] for course in result["courses"].values()]
        for name in ("killed", "interrupted", "full_disk", "bad_from_the_start", "gone_bad")
    }
    kills = sum(trial["kills"] for trial in trials["killed"])
    told = {name: f"{sum(t['same_weights'] for t in each)} of {len(each)}" for name, each in trials.items()}
    problems = sum(len(trial["problems"]) for each in trials.values() for trial in each)
    return (
        f"the same weights, byte for byte, after {kills} kills in {told['killed']} courses, after Ctrl-C in "
        f"{told['interrupted']}, a full disk in {told['full_disk']}, an image gone bad in {told['gone_bad']}; with one "
        f"bad from the start, as without it, in {told['bad_from_the_start']}; {problems} other problems"
    )


def dependencies(result: dict[str, Any]) -> str:
    count = f"{result['audited']} of {result['packages']} packages audited, {len(result['findings'])} findings"
    errors = [f"{name}: {answer['error']}" for name, answer in result["services"].items() if answer["error"]]
    return f"{count}; {'; '.join(errors)}" if errors else count


ROWS: tuple[Measured | Tested, ...] = (
    Tested(
        "bad inputs in Python, `detect`, `scan` and the API: a clear line or a right result; no crash, nothing over "
        "10 s, no file outside `--out`",
        {
            "tests/test_bad_inputs.py": ("test_python", "test_detect", "test_scan"),
            "tests/serve/test_bad_files.py": ("test_every_kind_gets_an_answer",),
        },
        lambda: f"{count_bad_inputs()} kinds of file, each a test",
    ),
    Measured("200,000 mutated images through the decoder: no crash, no leak", "fuzz_decoder", fuzz_decoder),
    Measured("the API fuzzed by its own description", "serve_fuzz", serve_fuzz),
    Measured(
        "the API under load, 8 clients for 5 minutes on 2 cores: no 5xx, memory flat (below +5%), p95 told",
        "serve_load",
        serve_load,
    ),
    Tested(
        "full queue, slow client, disconnect, upload of 2 GB, full disk: answered as documented, the service lives on",
        {
            "tests/serve/test_jobs_routes.py": (
                "test_a_full_queue_says_when_to_come_back_and_recovers",
                "test_a_slow_upload_is_cut_off",
                "test_who_hangs_up_leaves_nothing_behind",
                "test_a_full_disk_is_said_and_survived",
            ),
            "tests/serve/test_gate.py": (
                "test_a_huge_upload_that_asks_first_is_not_sent",
                "test_a_huge_upload_that_does_not_ask_is_cut_off",
            ),
        },
        lambda: "503 with `Retry-After`, 408, cancelled, 413, 507",
    ),
    Measured(
        "a scan of 20,000 images killed 5 times at random: each image exactly once, files whole",
        "scan_throughput",
        scan_killed,
    ),
    Measured("speed of a scan: at least 80% of the model alone, Ray 70% of local", "scan_throughput", scan_throughput),
    Measured(
        "training killed 5 times at random, interrupted, on a full disk, with bad images: resumes, same result as "
        "undisturbed on a CPU",
        "train_reliability",
        train_reliability,
    ),
    Measured("dependencies without known vulnerabilities", "dependencies", dependencies),
    Tested(
        "no pickle is loaded anywhere; files that hold one are refused, and it does not run",
        {"tests/test_no_pickles.py": ("test_no_module_can_load_a_pickle", "test_the_check_finds", "test_a_model")},
        lambda: "every module; models, checkpoints, saved maps, cached features",
    ),
    Tested(
        "a strict content security policy on every answer",
        {"tests/serve/test_gate.py": ("test_every_answer_has_the_headers",)},
        lambda: "`default-src 'none'`, nothing `unsafe`, nothing from elsewhere",
    ),
)


def with_figures(page: str) -> str:
    """The page with its table made anew."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    table = ["| what must hold | checked by | figure |", "|---|---|---|", *(row.row() for row in ROWS)]
    return "\n".join([before + BEGIN, *table, END + after])


def main() -> None:
    write_atomically(PAGE, with_figures(PAGE.read_text()).encode())


if __name__ == "__main__":
    main()
