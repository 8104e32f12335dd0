#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the fraud example, written a second time, straight from their definition and as plain as can be.

    fraud.py [FILE]             reads transactions (JSON lines; stdin without FILE), prints alerts (JSON lines)
    fraud.py --compare A B      compares two files of alerts as multisets of (transaction_id, account_number,
                                fraud_type, severity); exit 1 and the first differences when they are not equal

It shares no code with the example and uses the standard library only. Every statistic is that of two passes in
double over the last 100 amounts in order of arrival.
"""
import collections
import json
import math
import sys

CITIES = {  # latitude, longitude in degrees
    "Santiago": (-33.4489, -70.6693),
    "Valparaíso": (-33.0472, -71.6127),
    "Concepción": (-36.8201, -73.0444),
    "La Serena": (-29.9027, -71.2519),
    "Antofagasta": (-23.6509, -70.3975),
    "Temuco": (-38.7359, -72.5904),
    "Arica": (-18.4783, -70.3126),
    "Punta Arenas": (-53.1638, -70.9171),
    "Lima": (-12.0464, -77.0428),
    "Arequipa": (-16.4090, -71.5375),
    "Trujillo": (-8.1116, -79.0288),
    "Cusco": (-13.5320, -71.9675),
}


def distance_km(one, other):
    """Haversine; 0 when a city is not known."""
    if one not in CITIES or other not in CITIES:
        return 0.0
    (lat1, lon1), (lat2, lon2) = ([math.radians(x) for x in CITIES[city]] for city in (one, other))
    a = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371 * math.asin(math.sqrt(a))


def mean_and_deviation(amounts):
    total = 0.0
    for amount in amounts:
        total += amount
    mean = total / len(amounts)
    squares = 0.0
    for amount in amounts:
        squares += (amount - mean) * (amount - mean)
    if all(amount == amounts[0] for amount in amounts):
        return mean, 0.0
    return mean, math.sqrt(squares / len(amounts))


def alerts_of(transaction, known):
    """Alerts of one transaction, in the order of the rules. `known`: those before it, 100 at most, oldest first."""
    time, amount, city = (transaction[name] for name in ("timestamp_ms", "transaction_amount", "branch_city"))

    recent = [t for t in known if 0 <= time - t["timestamp_ms"] < 60_000]
    if len(recent) >= 2:
        yield "VELOCITY", "HIGH", ",".join(str(t["transaction_id"]) for t in recent), None

    if len(known) >= 5:
        mean, deviation = mean_and_deviation([float(t["transaction_amount"]) for t in known])
        if deviation > 0 and abs(amount - mean) / deviation > 3:
            yield "AMOUNT_ANOMALY", "CRITICAL" if (amount - mean) / deviation > 4 else "HIGH", "", None

    if known:
        last = known[-1]
        if last["branch_city"] != city and abs(time - last["timestamp_ms"]) < 600_000:
            yield "GEO_IMPOSSIBLE", "CRITICAL", str(last["transaction_id"]), distance_km(last["branch_city"], city)


def score(lines, expire_ms=0):
    """All alerts, in the order of the transactions. `distance_km` is given where the rule has one. An account without
    a transaction for `expire_ms` or more is forgotten; 0: none is. (For transactions in order of time.)"""
    accounts = collections.defaultdict(lambda: collections.deque(maxlen=100))
    for line in lines:
        if not line.strip():
            continue
        transaction = json.loads(line)
        known = accounts[transaction["account_number"]]
        if expire_ms > 0 and known and transaction["timestamp_ms"] - known[-1]["timestamp_ms"] >= expire_ms:
            known.clear()
        for kind, severity, related, distance in alerts_of(transaction, known):
            alert = {
                "alert_id": f"{transaction['transaction_id']}-{kind}",
                "transaction_id": transaction["transaction_id"],
                "account_number": transaction["account_number"],
                "fraud_type": kind,
                "severity": severity,
                "timestamp_ms": transaction["timestamp_ms"],
                "related_transactions": related,
            }
            if distance is not None:
                alert["distance_km"] = round(distance)
            yield alert
        known.append(transaction)


def multiset(alerts):
    return collections.Counter(
        (alert["transaction_id"], alert["account_number"], alert["fraud_type"], alert["severity"]) for alert in alerts)


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def differences(expected, found, count_max=10):
    """Lines that say what is missing from `found` and what is too many there; empty when the multisets are equal."""
    lines = []
    for text, more, less in (("missing", expected, found), ("too many", found, expected)):
        for key, count in sorted((more - less).items())[:count_max]:
            lines.append(f"{text}: {count} x {key}")
    return lines


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--compare":
        expected, found = (multiset(read(path)) for path in sys.argv[2:])
        lines = differences(expected, found)
        print("\n".join(lines) if lines else f"{sum(found.values())} alerts, equal as multisets")
        return 1 if lines else 0
    with open(sys.argv[1] if len(sys.argv) > 1 else 0, encoding="utf-8") as lines:
        for alert in score(lines):
            print(json.dumps(alert, ensure_ascii=False, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
