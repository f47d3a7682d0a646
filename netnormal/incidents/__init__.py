"""Scored rows and findings → incidents: one incident for one story, not one for each window that saw part of it.

`story` is what windows say and how that becomes one, `merger` decides which belong together.
"""

from netnormal.incidents.merger import IncidentMerger
from netnormal.incidents.story import Draft, Story

__all__ = ["Draft", "IncidentMerger", "Story"]
