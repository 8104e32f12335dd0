#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The clicks example on files, against the reference: whatever the threads and where state is kept, cut in the middle
and gone on with. With batches of one record the watermark moves behind each of them, so that all is decided by the
data: what fires late, and what is late."""
import json
import signal
import subprocess
import unittest

from _clicks import APP, ClicksTest, lines_of, make_clicks, reference

BINDS = ["--bind", "clicks=file:clicks.jsonl", "--bind", "minutes=file:minutes.jsonl",
         "--bind", "visits=file:visits.jsonl", "--bind", "late-clicks=file:late.jsonl"]


class Clicks(ClicksTest):
    def records(self, name):
        return [json.loads(line) for line in self.read(name).splitlines()]

    def assert_all(self, expected):
        minutes, visits, late, _ = expected
        self.assert_results(minutes, self.records("minutes.jsonl"))
        self.assert_results(visits, self.records("visits.jsonl"))
        self.assert_results(late, self.records("late.jsonl"))

    def make(self, count):
        clicks = list(make_clicks(self.seed(), count, 5_000, late=0.03))
        self.write("clicks.jsonl", lines_of(clicks))
        return reference.run(clicks)

    def test_any_threads_and_any_state_give_what_the_reference_gives(self):
        expected = self.make(3000)
        self.assertGreater(len(expected[2]), 10)
        self.assertTrue(any(minute["window_firing"] == "late" for minute in expected[0]))
        for threads, state in ((1, "memory"), (4, "memory"), (2, "rocksdb")):
            done = self.sabot("-A", APP, "worker", "-c", threads, "-O", "batch.rows=1", "-O", f"state={state}", *BINDS,
                              "--json")
            self.assert_code(done, 0)
            self.assertEqual(done.summary["records_read"], 3000)
            self.assertEqual(done.summary["records_late"], len(expected[2]) + expected[3])
            self.assert_all(expected)

    def test_killed_in_the_middle_it_goes_on_to_the_same(self):
        expected = self.make(20_000)
        command = ["-A", APP, "worker", "-O", "batch.rows=1", "-O", "checkpoint.interval_ms=1", "--state-dir", "state",
                   *BINDS]
        for threads, point in ((1, "ckpt.complete:1"), (4, "ckpt.complete:2"), (2, "task.snapshot:3")):
            done = self.sabot(*command, "-c", threads, variables={"SABOT_CRASH_AT": point})
            self.assertNotEqual(done.code, 0, done.err)
        done = self.sabot(*command, "-c", 3, "-O", "state=rocksdb")
        self.assert_code(done, 0)
        self.assert_all(expected)

    def test_why_names_the_partition_that_is_waited_for(self):
        clicks = [{"user": "ada", "page": "/", "time": 1_714_564_861_000 + i} for i in range(3)]
        self.write("clicks.jsonl", lines_of(clicks))
        process = self.start("-A", APP, "worker", "--state-dir", "state", "-O", "time.idle_after_ms=0",
                             "--bind", "clicks=file:clicks.jsonl?follow=true", *BINDS[2:], stderr=subprocess.PIPE)
        answer = None
        while answer is None or answer["steps"][0]["watermark_ms"] is None:
            done = self.sabot("-A", APP, "why", "window", "minutes", "--state-dir", "state", "--json")
            answer = done.summary if done.code == 0 else None
        (step,) = answer["steps"]
        self.assertEqual((step["name"], step["kind"]), ("minutes", "window"))
        self.assertEqual(step["watermark_ms"], clicks[-1]["time"] - reference.LATENESS_MS)
        (partition,) = step["inputs"]
        self.assertEqual((partition["channel"], partition["partition"]), ("clicks", 0))
        self.assertEqual((partition["state"], partition["holds"]), ("active", True))
        done = self.sabot("why", "window", "--state-dir", "state")
        self.assert_code(done, 0)
        self.assert_in(["window minutes: watermark 2024-05-01T12:00:56.002Z (1714564856002)",
                        "the next window to fire on time ends at 2024-05-01T12:01:00.000Z (1714564860000), 3998 ms",
                        "held by clicks, partition 0: all of it is read, and it is never idle",
                        "1 partition: 1 active, 0 idle, 0 ended", "window visits: watermark"], done.out)
        done = self.sabot("why", "watermark", "nobody", "--state-dir", "state")
        self.assert_code(done, 2)
        self.assertIn("app clicks runs no agent or window nobody", done.error)
        process.send_signal(signal.SIGTERM)
        process.communicate()
        self.assertEqual(process.returncode, 0)


if __name__ == "__main__":
    unittest.main()
