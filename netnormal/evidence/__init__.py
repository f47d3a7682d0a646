"""Evidence: for each incident a folder that can be handed on, with its packets, a picture, its numbers and its story.

`cases` makes the folders from captures, `live` while a capture runs.
"""

from netnormal.evidence.cases import add, markdown, pcaps, write
from netnormal.evidence.live import LiveEvidence, segments

__all__ = ["LiveEvidence", "add", "markdown", "pcaps", "segments", "write"]
