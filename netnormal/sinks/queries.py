"""Ready questions to a database, in SQL that SQLite, MariaDB and PostgreSQL understand; docs/database.md shows them.

Tests compare what they answer with summary.json of the same capture. Window functions need SQLite 3.28, MariaDB 10.2,
MySQL 8 or PostgreSQL 11.
"""

from __future__ import annotations

from dataclasses import dataclass

SYN_WAIT_NS = 127_000_000_000  # as in netnormal.traffic: so long a SYN may wait for its answer


@dataclass(frozen=True)
class Query:
    """title: what it tells. words: how to read it."""

    title: str
    words: str
    sql: str


_LAST = "capture_id = (SELECT MAX(capture_id) FROM captures)"
_ADDRESSES = f"""SELECT {{columns}} FROM packets WHERE {_LAST} AND {{address}} IS NOT NULL"""
_LATENCIES = f"""WITH ends AS (
  SELECT packet, time_ns, 'SYN' AS kind, src_ip AS client, src_port AS client_port,
         dst_ip AS server, dst_port AS server_port
  FROM packets WHERE {_LAST}
    AND tcp_flags LIKE '%S%' AND tcp_flags NOT LIKE '%A%' AND tcp_flags NOT LIKE '%R%' AND tcp_flags NOT LIKE '%F%'
  UNION ALL
  SELECT packet, time_ns, 'SYN+ACK', dst_ip, dst_port, src_ip, src_port
  FROM packets WHERE {_LAST}
    AND tcp_flags LIKE '%S%' AND tcp_flags LIKE '%A%' AND tcp_flags NOT LIKE '%R%' AND tcp_flags NOT LIKE '%F%'
), steps AS (
  SELECT server, server_port, kind, time_ns,
         LAG(kind) OVER w AS last_kind, LAG(time_ns) OVER w AS last_ns,
         LAG(kind, 2) OVER w AS earlier_kind, LAG(time_ns, 2) OVER w AS earlier_ns
  FROM ends WINDOW w AS (PARTITION BY client, client_port, server, server_port ORDER BY packet)
), answered AS (
  SELECT server, server_port, time_ns - last_ns AS latency_ns FROM steps
  WHERE kind = 'SYN+ACK' AND last_kind = 'SYN' AND time_ns - last_ns BETWEEN 0 AND {SYN_WAIT_NS}
    AND (earlier_kind IS NULL OR earlier_kind <> 'SYN' OR last_ns - earlier_ns > {SYN_WAIT_NS})
)"""
_QUANTILES = """COUNT(*) AS handshakes,
       MIN(CASE WHEN place * 2 >= of_so_many THEN latency_ns END) / 1e9 AS median_s,
       MIN(CASE WHEN place * 100 >= of_so_many * 95 THEN latency_ns END) / 1e9 AS p95_s,
       MAX(latency_ns) / 1e9 AS max_s"""

QUERIES = {
    "throughput": Query(
        "Throughput",
        "Packets and bytes, on average (over a second at least) and in the busiest second.",
        f"""WITH seconds AS (
  SELECT time_ns - time_ns % 1000000000 AS second, COUNT(*) AS packets, SUM(length) AS bytes,
         MIN(time_ns) AS first_ns, MAX(time_ns) AS last_ns
  FROM packets WHERE {_LAST}
  GROUP BY time_ns - time_ns % 1000000000
), sums AS (
  SELECT SUM(packets) AS packets, SUM(bytes) AS bytes, (MAX(last_ns) - MIN(first_ns)) / 1e9 AS duration_s,
         MAX(packets) AS peak_packets_per_s, MAX(bytes) * 8 / 1e6 AS peak_mbit_per_s
  FROM seconds
)
SELECT packets, bytes, duration_s,
       packets / CASE WHEN duration_s > 1 THEN duration_s ELSE 1.0 END AS mean_packets_per_s,
       bytes * 8 / 1e6 / CASE WHEN duration_s > 1 THEN duration_s ELSE 1.0 END AS mean_mbit_per_s,
       peak_packets_per_s, peak_mbit_per_s
FROM sums""",
    ),
    "minutes": Query(
        "Throughput by the minute",
        "One row per minute with traffic; `unix_time` is its start, in seconds since 1970.",
        f"""SELECT (time_ns - time_ns % 60000000000) / 1000000000 AS unix_time,
       COUNT(*) AS packets, SUM(length) AS bytes
FROM packets WHERE {_LAST}
GROUP BY time_ns - time_ns % 60000000000 ORDER BY 1""",
    ),
    "latency": Query(
        "Latency",
        "From a SYN to the SYN+ACK that answers it. A SYN that was repeated within 127 s does not count: nobody knows "
        "which one was answered.",
        f"""{_LATENCIES}, ranked AS (
  SELECT latency_ns, ROW_NUMBER() OVER (ORDER BY latency_ns) AS place, COUNT(*) OVER () AS of_so_many FROM answered
)
SELECT {_QUANTILES}
FROM ranked""",
    ),
    "latency_by_service": Query(
        "Latency of each service",
        "The same for the 20 services with the most handshakes.",
        f"""{_LATENCIES}, ranked AS (
  SELECT server, server_port, latency_ns,
         ROW_NUMBER() OVER (PARTITION BY server, server_port ORDER BY latency_ns) AS place,
         COUNT(*) OVER (PARTITION BY server, server_port) AS of_so_many
  FROM answered
)
SELECT server, server_port, {_QUANTILES}
FROM ranked GROUP BY server, server_port ORDER BY handshakes DESC, server, server_port LIMIT 20""",
    ),
    "protocols": Query(
        "Use of protocols",
        "",
        f"""SELECT COALESCE(protocol, 'not decoded') AS protocol, COUNT(*) AS packets, SUM(length) AS bytes,
       COUNT(*) * 1e0 / SUM(COUNT(*)) OVER () AS packet_share,
       SUM(length) * 1e0 / SUM(SUM(length)) OVER () AS byte_share
FROM packets WHERE {_LAST}
GROUP BY COALESCE(protocol, 'not decoded') ORDER BY 2 DESC, 1""",
    ),
    "addresses": Query(
        "How many addresses",
        "Hardware addresses are those that send.",
        f"""SELECT
  (SELECT COUNT(*) FROM (
     {_ADDRESSES.format(columns="src_ip", address="src_ip")}
     UNION
     {_ADDRESSES.format(columns="dst_ip", address="dst_ip")}
   ) AS all_of_them) AS ip_addresses,
  (SELECT COUNT(DISTINCT src_ip) FROM packets WHERE {_LAST}) AS source_ip_addresses,
  (SELECT COUNT(DISTINCT dst_ip) FROM packets WHERE {_LAST}) AS destination_ip_addresses,
  (SELECT COUNT(DISTINCT src_mac) FROM packets WHERE {_LAST}) AS sending_hardware_addresses""",
    ),
    "talkers": Query(
        "Top talkers",
        "The 20 addresses that sent the most bytes. For those that received the most, order by `bytes_received`.",
        f"""SELECT address, SUM(packets_sent) AS packets_sent, SUM(bytes_sent) AS bytes_sent,
       SUM(packets_received) AS packets_received, SUM(bytes_received) AS bytes_received
FROM (
  SELECT src_ip AS address, COUNT(*) AS packets_sent, SUM(length) AS bytes_sent,
         0 AS packets_received, 0 AS bytes_received
  FROM packets WHERE {_LAST} AND src_ip IS NOT NULL GROUP BY src_ip
  UNION ALL
  SELECT dst_ip, 0, 0, COUNT(*), SUM(length)
  FROM packets WHERE {_LAST} AND dst_ip IS NOT NULL GROUP BY dst_ip
) AS ends
GROUP BY address ORDER BY bytes_sent DESC, address LIMIT 20""",
    ),
    "conversations": Query(
        "Who talks most to whom",
        "The 20 pairs with the most bytes, both directions apart.",
        f"""SELECT src_ip, dst_ip, protocol, COUNT(*) AS packets, SUM(length) AS bytes
FROM packets WHERE {_LAST} AND src_ip IS NOT NULL
GROUP BY src_ip, dst_ip, protocol ORDER BY 5 DESC, 1, 2, 3 LIMIT 20""",
    ),
    "incidents": Query(
        "The incidents of the last day",
        "Of the day that ends with the latest of them, the worst first.",
        """SELECT incident_id, severity, start_ns / 1000000000 AS unix_time, source, title
FROM incidents WHERE end_ns > (SELECT MAX(end_ns) FROM incidents) - 86400000000000
ORDER BY CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END,
         score DESC, start_ns""",
    ),
}
