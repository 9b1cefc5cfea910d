"""Where two pictures agree once they lie over each other, and how finely."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.matching import Floats, Windows
from vilaco.reuse.register import Laid, invert

MIN_AGREEMENT, MIN_VARIANCE = 0.8, 4.0
"""Correlation of two windows that agree, and variance that a window needs to say anything."""
MIN_AREA = 400
"""Pixels of a region, in the smaller of the two pictures."""
_CLOSE = 21  # pixels across of gaps in a region that are filled: smooth parts say nothing
_FINE_SIGMA, _FINE_WINDOW = 1.5, 16  # what is finer than this is compared, in windows of this side
_LEVELS = 8  # grey levels around a picture's commonest that count as its ground
