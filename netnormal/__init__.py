"""netnormal: learn what is normal on a network from its packets, and show with reasons what is not."""

__version__ = "0.1.0"
