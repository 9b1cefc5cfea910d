"""The photos that weights `free` were forged from: 87 photographs whose licences permit any use.

    apt-get download budgie-backgrounds ukui-wallpapers mate-backgrounds …   # the packages that the table names
    python benchmarks/free_photos.py PACKAGES OUT

They come from Debian packages; ``free_photos.csv`` names for each the package and its version, the file in it, its
SHA-256, its author and its licence, as the package states them. Wallpapers that are drawings were left out by eye, and
so were scikit-image's photos, which the examples are made of. PACKAGES is a folder of ``.deb`` files, unpacked with
``dpkg-deb``; JPEG XL is decoded with ``djxl`` (package libjxl-tools), other files are copied as they are. A photo that
is missing or whose bytes differ, as in another version of its package, is named, and the exit code is 3.
"""

import argparse
import csv
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from vilaco.files import write_atomically

TABLE = Path(__file__).with_suffix(".csv")


def take(unpacked: Path, row: dict[str, str], out: Path) -> str | None:
    """Copy or decode one photo; returns what is wrong with it, if anything."""
    source, photo = unpacked / row["path"], out / row["photo"]
    where = f"{row['package']} {row['version']}: {row['path']}"
    if not source.is_file():
        return f"{where}: missing"
    content = source.read_bytes()
    if hashlib.sha256(content).hexdigest() != row["sha256"]:
        return f"{where}: another file than the one trained on"
    if source.suffix == ".jxl":
        decoded = subprocess.run(["djxl", str(source), str(photo)], capture_output=True, text=True, check=False)
        return f"{where}: {decoded.stderr.strip()}" if decoded.returncode else None
    write_atomically(photo, content)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="folder that holds the .deb files")
    parser.add_argument("out", type=Path, help="folder for the photos")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(TABLE, newline="") as file:
        rows = list(csv.DictReader(file))
    with tempfile.TemporaryDirectory() as unpacked:
        for package in sorted(arguments.packages.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), unpacked], check=True)
        problems = [problem for row in rows if (problem := take(Path(unpacked), row, arguments.out))]
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
    print(f"{len(rows) - len(problems)} of {len(rows)} photos in {arguments.out}")
    sys.exit(3 if problems else 0)


if __name__ == "__main__":
    main()
