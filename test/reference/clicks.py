#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The clicks example, written a second time, straight from its definition and as plain as can be.

    clicks.py [FILE]     reads clicks (JSON lines; stdin without FILE) in the order of one partition, prints results:
                         {"minute": ...}, {"visit": ...} or {"late": ...}, one a line

After each click the watermark is the newest time so far less five seconds; a click that is older than that may still
belong to a minute that is kept (ten more seconds), or it is late. At the end of the clicks all that is open fires.

It shares no code with the example and uses the standard library only.
"""
import json
import sys

MINUTE_MS = 60_000
ALLOWED_MS = 10_000
GAP_MS = 30 * 60_000
LATENESS_MS = 5_000
NEVER = -(1 << 63)
OVER = (1 << 63) - 1


class Minutes:
    """Windows of one minute, for each user; each firing tells all that came so far."""

    def __init__(self):
        self.windows = {}  # (user, start): pages of its clicks, number of firings
        self.late = []
        self.fired = []

    def fire(self, key, kind):
        window = self.windows[key]
        window["number"] += 1
        self.fired.append({"user": key[0], "window_start": key[1], "window_end": key[1] + MINUTE_MS,
                           "clicks": len(window["pages"]), "pages": len(set(window["pages"])),
                           "window_firing": kind, "window_number": window["number"]})

    def add(self, click, watermark):
        start = click["time"] // MINUTE_MS * MINUTE_MS
        if start + MINUTE_MS + ALLOWED_MS <= watermark:
            self.late.append(click)
            return
        key = (click["user"], start)
        window = self.windows.setdefault(key, {"pages": [], "number": 0})
        window["pages"].append(click["page"])
        if start + MINUTE_MS <= watermark:
            self.fire(key, "late")

    def pass_time(self, before, watermark):
        for user, start in sorted(self.windows, key=lambda key: key[1]):
            if before < start + MINUTE_MS <= watermark:
                self.fire((user, start), "on_time")
        for key in [key for key in self.windows if key[1] + MINUTE_MS + ALLOWED_MS <= watermark]:
            del self.windows[key]


class Visits:
    """Clicks of a user that are less than half an hour apart."""

    def __init__(self):
        self.open = []  # [start, end, user, clicks]
        self.late = 0
        self.fired = []

    def add(self, click, watermark):
        start, end, clicks = click["time"], click["time"] + GAP_MS, [click]
        same = [visit for visit in self.open if visit[2] == click["user"] and visit[0] < end and start < visit[1]]
        for visit in same:
            start, end, clicks = min(start, visit[0]), max(end, visit[1]), visit[3] + clicks
        if end <= watermark:
            self.late += 1
            return
        self.open = [visit for visit in self.open if visit not in same]
        self.open.append([start, end, click["user"], clicks])

    def pass_time(self, _, watermark):
        for start, end, user, clicks in sorted(self.open, key=lambda visit: visit[1]):
            if end <= watermark:
                # By time, then by arrival.
                first = min(enumerate(clicks), key=lambda each: (each[1]["time"], each[1]["arrival"]))[1]
                last = max(enumerate(clicks), key=lambda each: (each[1]["time"], each[1]["arrival"]))[1]
                self.fired.append({"user": user, "window_start": start, "window_end": end, "clicks": len(clicks),
                                   "first_page": first["page"], "last_page": last["page"]})
        self.open = [visit for visit in self.open if visit[1] > watermark]


def run(clicks):
    """Minutes, visits, late clicks of the minutes, and how many were late for a visit."""
    minutes, visits = Minutes(), Visits()
    watermark = NEVER
    for arrival, click in enumerate(clicks):
        click = {**click, "arrival": arrival}
        minutes.add(click, watermark)
        visits.add(click, watermark)
        newer = max(watermark, click["time"] - LATENESS_MS)
        minutes.pass_time(watermark, newer)
        visits.pass_time(watermark, newer)
        watermark = newer
    minutes.pass_time(watermark, OVER)
    visits.pass_time(watermark, OVER)
    late = [{name: click[name] for name in ("user", "page", "time")} for click in minutes.late]
    return minutes.fired, visits.fired, late, visits.late


def main():
    with open(sys.argv[1] if len(sys.argv) > 1 else 0, encoding="utf-8") as lines:
        minutes, visits, late, _ = run(json.loads(line) for line in lines if line.strip())
    for kind, results in (("minute", minutes), ("visit", visits), ("late", late)):
        for result in results:
            print(json.dumps({kind: result}, separators=(",", ":")))


if __name__ == "__main__":
    main()
