"""Tables → pictures, in one style, for `visualize.py`, the report and the dashboard.

Every function takes small tables that are already summed up (their columns are in its docstring; times are int64
nanoseconds UTC) and returns a `Picture`, a matplotlib Figure of its own: nothing is shared, nothing is written, pyplot
is not used. The same table gives the same bytes. Colours are Okabe and Ito's (2008), which colour-blind readers can
tell apart; what colour says is said by place or words too.
"""

from netnormal.figures.found import MAX_LANES, anomalies, incident, scores, timeline
from netnormal.figures.judged import OURS, precision_recall, recall_per_attack, roc, score_timeline
from netnormal.figures.look import LIGHT, LOOKS, Look, Picture
from netnormal.figures.traffic import handshakes, packet_sizes, protocols, throughput, top_hosts, traffic

__all__ = [
    "LIGHT",
    "LOOKS",
    "MAX_LANES",
    "OURS",
    "Look",
    "Picture",
    "anomalies",
    "handshakes",
    "incident",
    "packet_sizes",
    "precision_recall",
    "protocols",
    "recall_per_attack",
    "roc",
    "score_timeline",
    "scores",
    "throughput",
    "timeline",
    "top_hosts",
    "traffic",
]
