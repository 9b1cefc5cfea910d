"""CASIA v1.0 and v2.0, tampered image detection evaluation databases (Dong, Wang and Tan, ChinaSIP 2013).

::

    CASIA 1.0 dataset/                           CASIA2/
      Au/  Au_ani_0001.jpg                         Au/  Au_ani_00001.jpg (also .bmp)
      Tp/  (or Sp/, or Modified Tp/Tp/)            Tp/  Tp_D_CRN_S_N_cha00063_art00014_11818.tif (or .jpg)
        CM/  Sp_S_CND_A_pla0016_pla0016_0196.jpg   CASIA 2 Groundtruth/
        Sp/  Sp_D_CND_A_pla0005_pla0023_0281.jpg     Tp_D_CRN_S_N_cha00063_art00014_11818_gt.png
      CASIA 1.0 groundtruth/  (beside or inside the folder above; also Gt/, groundtruth/, mask/)
        CM/, Sp/  *_gt.png

Counts: v1 800 authentic and 921 tampered; v2 7491 authentic and 5123 tampered.
Masks come from N. T. Pham et al. (Symmetry 2019, github.com/namtpham); above zero is tampered. Use: research
only.

A name says what was done: ``D``/``S`` pasted from a different/the same image, letters for the processing, the
source image, the target image, and the tampered image's own number. Both source and target pixels are in the
picture, so an image's group is the connected component of the images it shares pixels with. It is named after
its first member; two folders that each hold a part of CASIA can therefore name one scene differently.

Known faults: dozens of v1 names, of images or of masks, misspell a source (``sce0011`` for ``sec0011``), swap
source and target, or put a dot for the last underscore; one v2 mask ends in ``_gt3.png``; some masks differ
in size from their image (17 in v2 by CAT-Net's count) or are turned by 90 degrees. So a mask whose name does
not fit exactly is paired by ``S``/``D`` and the tampered image's number, where these fit one image and one
mask. File type and JPEG history tell the label (run ``vilaco audit``).
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from vilaco.data.formats.layout import NotThisFormat, images_under, require_subfolder, subfolder
from vilaco.data.records import AUTHENTIC, TAMPERED, Record

_SCENE = re.compile(r"([a-z]{3})_?(\d{4,5})(?=[_.]|$)", re.IGNORECASE)
_MASK = re.compile(r"_gt\d*$", re.IGNORECASE)


def read_casia1(root: Path) -> list[Record]:
    """Read CASIA v1.0; scene numbers have four digits.

    Raises:
        NotThisFormat: If ``root`` has no ``Au`` and ``Tp`` (or ``Sp``), or the names are not CASIA v1's.
    """
    return _read_casia(root, digits=4)


def read_casia2(root: Path) -> list[Record]:
    """Read CASIA v2.0; scene numbers have five digits.

    Raises:
        NotThisFormat: If ``root`` has no ``Au`` and ``Tp``, or the names are not CASIA v2's.
    """
    return _read_casia(root, digits=5)


def scene_ids(stem: str) -> list[str]:
    """Scenes whose pixels are in an image, from its name.

    Example:
        >>> scene_ids("Sp_D_CND_A_pla0005_pla0023_0281"), scene_ids("Au_ani_00001")
        (['pla0005', 'pla0023'], ['ani00001'])
    """
    return [category.lower() + number for category, number in _SCENE.findall(stem)]


def _read_casia(root: Path, *, digits: int) -> list[Record]:
    authentic_folder = require_subfolder(root, "Au")
    tampered_folder = require_subfolder(root, "Tp", "Sp", "Modified Tp")
    authentic = images_under(authentic_folder)
    tampered = [path for path in images_under(tampered_folder) if not _MASK.search(path.stem)]
    scenes = {path: scene_ids(path.stem) for path in [*authentic, *tampered]}
    if not any(len(scene) == 3 + digits for ids in scenes.values() for scene in ids):
        raise NotThisFormat(f"has no name with a scene of {digits} digits, such as ani{1:0{digits}d}")
    group_of = _components(scenes.values())
    mask_of = _best_pairs(root, tampered_folder, tampered)

    def group(path: Path) -> str | None:
        return f"casia-{group_of[scenes[path][0]]}" if scenes[path] else None

    return [Record(path, AUTHENTIC, group=group(path)) for path in authentic] + [
        Record(path, TAMPERED, mask_of.get(path), group(path)) for path in tampered
    ]


def _best_pairs(root: Path, tampered_folder: Path, tampered: list[Path]) -> dict[Path, Path]:
    """Pairs with the mask folder that fits most images: CASIA v1 and v2 may lie side by side, each with its own.

    Masks beside the tampered images join in with any.
    """
    beside = [path for path in images_under(tampered_folder) if _MASK.search(path.stem)]
    candidates = [images_under(folder) for folder in _mask_folders(root)] or [[]]
    return max((_pair_masks(tampered, found + beside) for found in candidates), key=len)


def _mask_folders(root: Path) -> list[Path]:
    """Folders that may hold masks: in ``root``, then next to it."""
    others = [folder for name in ("Gt", "mask", "masks") if (folder := subfolder(root, name))]
    return _ground_truth(root) + others + _ground_truth(root.resolve().parent)


def _ground_truth(parent: Path) -> list[Path]:
    """Subfolders called ground truth; one with authentic images of its own is a data set."""
    named = [child for child in sorted(parent.iterdir()) if "groundtruth" in child.name.lower().replace(" ", "")]
    return [folder for folder in named if folder.is_dir() and not subfolder(folder, "Au")]


def _pair_masks(images: list[Path], masks: list[Path]) -> dict[Path, Path]:
    """Pair by the whole name, then what is left by ``S``/``D`` and number where both are unique."""
    by_name = {_MASK.sub("", mask.stem).lower(): mask for mask in masks}
    pairs = {image: by_name[image.stem.lower()] for image in images if image.stem.lower() in by_name}
    taken = set(pairs.values())
    open_masks = _by_number(mask for mask in masks if mask not in taken)
    for key, candidates in _by_number(image for image in images if image not in pairs).items():
        if len(candidates) == len(open_masks[key]) == 1:
            pairs[candidates[0]] = open_masks[key][0]
    return pairs


def _by_number(paths: Iterable[Path]) -> defaultdict[tuple[str, str], list[Path]]:
    found: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in paths:
        parts = re.split("[_.]", _MASK.sub("", path.stem))
        if len(parts) > 2:
            found[parts[1].upper(), parts[-1]].append(path)
    return found


def _components(ids_of_images: Iterable[list[str]]) -> dict[str, str]:
    """Smallest scene of each scene's connected component; scenes of one image are connected."""
    parent: dict[str, str] = {}

    def root_of(scene: str) -> str:
        parent.setdefault(scene, scene)
        while parent[scene] != scene:
            parent[scene] = parent[parent[scene]]
            scene = parent[scene]
        return scene

    for ids in ids_of_images:
        for scene in ids:
            first, second = sorted((root_of(ids[0]), root_of(scene)))
            parent[second] = first
    return {scene: root_of(scene) for scene in parent}
