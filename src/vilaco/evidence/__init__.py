"""What a photo's file says about itself: never a verdict, but often the best lead.

`read_evidence` reads all of it and does not fail on a broken part: what could not be read is named in
`Evidence.problems`. Nothing here fetches anything from the network.
"""

from vilaco.evidence.credentials import Credentials
from vilaco.evidence.jpeg import JpegEvidence
from vilaco.evidence.metadata import Field
from vilaco.evidence.reading import Evidence, read_evidence
from vilaco.evidence.software import SoftwareTrace
from vilaco.evidence.thumbnails import EmbeddedThumbnail

__all__ = [
    "Credentials",
    "EmbeddedThumbnail",
    "Evidence",
    "Field",
    "JpegEvidence",
    "SoftwareTrace",
    "read_evidence",
]
