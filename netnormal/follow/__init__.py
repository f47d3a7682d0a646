"""Following a capture while it runs: the same detection as in batch, driven by a file that grows.

`tail` reads the packet table wherever rotation puts it, `files` keeps results/live/ and the bookmark that makes
restarts exact, `follower` is the loop, `run` makes a process of it, `status` says how it fares.
"""

from netnormal.follow.files import LiveFiles
from netnormal.follow.follower import Follower
from netnormal.follow.run import ModelFile, Session
from netnormal.follow.status import Status, health
from netnormal.follow.tail import Position, Tail

__all__ = ["Follower", "LiveFiles", "ModelFile", "Position", "Session", "Status", "Tail", "health"]
