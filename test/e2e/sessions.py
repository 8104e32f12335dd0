#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The example of a map and a timer per key, against a model: whatever the threads and batches, the same visits."""
import collections
import json
import os
import random
import unittest

from _command import SABOT, CommandTest

GAP_MS = 30 * 60 * 1000
APP = os.path.join(os.path.dirname(SABOT), "sessions.so")


def make_clicks(seed, count):
    """In order of time; some visitors come back soon, some late, some exactly when their visit ends."""
    rand = random.Random(seed)
    last = {}
    time_ms = 1_700_000_000_000
    for _ in range(count):
        user = f"u{rand.randrange(50)}"
        time_ms += rand.choice((0, 1, 1000, 60_000, 600_000))
        last[user] = time_ms
        yield {"user": user, "page": f"/{rand.randrange(8)}", "time": time_ms}


def visits_of(clicks):
    """A click at the very end of the silence is still one of the visit: timers come after what is not later."""
    open_visits = {}
    for click in clicks:
        visit = open_visits.get(click["user"])
        if visit is not None and click["time"] > visit["end"] + GAP_MS:
            yield finish(click["user"], open_visits.pop(click["user"]))
            visit = None
        if visit is None:
            visit = open_visits[click["user"]] = {"end": 0, "pages": collections.Counter()}
        visit["end"] = click["time"]
        visit["pages"][click["page"]] += 1
    for user, visit in open_visits.items():
        yield finish(user, visit)


def finish(user, visit):
    return {"user": user, "clicks": sum(visit["pages"].values()), "pages": len(visit["pages"]), "end": visit["end"]}


def in_order(visits):
    return sorted(visits, key=lambda visit: (visit["user"], visit["end"]))


class Sessions(CommandTest):
    def test_timers_end_the_visits_of_the_model(self):
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        clicks = list(make_clicks(seed, 5000))
        expected = in_order(visits_of(clicks))
        self.write("clicks.jsonl", "".join(json.dumps(click) + "\n" for click in clicks).encode())
        for threads, rows in ((1, 1024), (1, 1), (3, 7), (4, 1024)):
            done = self.sabot("-A", f"{APP}:app", "worker", "-c", threads, "-O", f"batch.rows={rows}", "--bind",
                              "clicks=file:clicks.jsonl", "--bind", "visits=file:visits.jsonl")
            self.assert_code(done, 0)
            visits = in_order(map(json.loads, self.read("visits.jsonl").splitlines()))
            self.assertEqual(len(visits), len(expected))
            for visit, model in zip(visits, expected):
                self.assertEqual(visit, model)

    def test_each_timer_fires_once_though_the_worker_is_killed_and_its_state_changes_its_place(self):
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        clicks = list(make_clicks(seed, 5000))
        expected = in_order(visits_of(clicks))
        self.write("clicks.jsonl", "".join(json.dumps(click) + "\n" for click in clicks).encode())
        common = ["-A", f"{APP}:app", "worker", "-O", "checkpoint.interval_ms=1", "-O", "batch.rows=3", "-O",
                  f"rocksdb.dir={self.folder}"]
        for number, (first, second) in enumerate((("memory", "memory"), ("memory", "rocksdb"), ("rocksdb", "memory"))):
            with self.subTest(first=first, second=second):
                arguments = [*common, "--state-dir", f"state-{number}", "--bind", f"visits=file:visits-{number}.jsonl"]
                killed = self.sabot(*arguments, "-c", 2, "-O", f"state={first}", "--bind",
                                    "clicks=file:clicks.jsonl?follow=true",
                                    variables={"SABOT_CRASH_AT": "ckpt.complete:1"})
                if "built without RocksDB" in killed.err:
                    continue
                self.assert_code(killed, -9)
                done = self.sabot(*arguments, "--json", "-c", 3, "-O", f"state={second}", "--bind",
                                  "clicks=file:clicks.jsonl")
                if "built without RocksDB" in done.err:
                    continue
                self.assert_code(done, 0)
                self.assertLess(done.summary["records_processed"], len(clicks), "it goes on, not anew")
                visits = in_order(map(json.loads, self.read(f"visits-{number}.jsonl").splitlines()))
                self.assertEqual(visits, expected)


if __name__ == "__main__":
    unittest.main()
