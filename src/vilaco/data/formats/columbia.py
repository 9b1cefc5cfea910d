"""Columbia uncompressed image splicing detection data set (Hsu and Chang, ICME 2006).

::

    ImSpliceDataset/
      4cam_auth/  canong3_02_sub_01.tif
        edgemask/
      4cam_splc/  canong3_canonxt_sub_01.tif
        edgemask/ canong3_canonxt_sub_01_edgemask.jpg

Counts: 183 authentic, 180 splices of two cameras, TIFF, 757x568 to 1152x768. Use: research only.

Masks colour the two cameras: bright and regular green are the spliced-in part, bright and regular red the
host, the bright shade marking the border. They are JPEGs, so colours are not exact; ``mask_rule`` is
``"green"``. Authentic images have edge masks of their own, which mark no forgery and are left out. Scenes
cannot be told from the names.
"""

from pathlib import Path

from vilaco.data.formats.layout import by_stem, images_under, require_subfolder, subfolder
from vilaco.data.records import AUTHENTIC, TAMPERED, Record


def read_columbia(root: Path) -> list[Record]:
    """Read ``4cam_auth`` and ``4cam_splc``.

    Raises:
        NotThisFormat: If one of the two folders is missing.
    """
    authentic = require_subfolder(root, "4cam_auth")
    spliced = require_subfolder(root, "4cam_splc")
    edgemasks = subfolder(spliced, "edgemask")
    masks = by_stem(images_under(edgemasks)) if edgemasks else {}
    return [Record(path, AUTHENTIC) for path in images_under(authentic, recursive=False)] + [
        Record(path, TAMPERED, masks.get(f"{path.stem.lower()}_edgemask"), mask_rule="green")
        for path in images_under(spliced, recursive=False)
    ]
