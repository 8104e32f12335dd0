#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The clicks example through a real broker: clicks out of order in a topic of 3 partitions, minutes and visits into two
others, equal to what the reference finds; with any number of threads, and killed in the middle and gone on with."""
import json
import os
import select
import subprocess
import unittest

from _clicks import APP, ClicksTest, lines_of, make_clicks, reference

BROKER = os.environ.get("SABOT_TEST_BROKER", "localhost:9092")
COUNT = 8_000
DISORDER_MS = 5_000  # the lateness: none is late, so that only the data decides
TOPICS = ("minutes", "visits", "late-clicks")


class KafkaClicks(ClicksTest):
    def setUp(self):
        super().setUp()
        self.name = f"{self.id().rsplit('.', maxsplit=1)[-1]}-{os.getpid()}"

    def binds(self, channels, run=""):
        return [part for channel in channels for part in
                ("--bind", f"{channel}=kafka://{BROKER}/{channel}-{self.name}{run}?partitions=3")]

    def send(self, clicks):
        done = self.sabot("-A", APP, "send", "clicks", *self.binds(["clicks"]), stdin=lines_of(clicks).encode())
        self.assert_code(done, 0)

    def tap(self, channel, run=""):
        done = self.sabot("-A", APP, "tap", channel, *self.binds([channel], run), "--until-end")
        self.assert_code(done, 0)
        return [json.loads(line) for line in done.out.splitlines()]

    def work(self, *options, run="", variables=None):
        return self.sabot("-A", APP, "worker", *self.binds(["clicks"]), *self.binds(TOPICS, run), *options,
                          variables=variables)

    def assert_topics(self, clicks, run=""):
        minutes, visits, late, _ = reference.run(clicks)
        self.assertEqual(late, [])
        self.assert_results(minutes, self.tap("minutes", run))
        self.assert_results(visits, self.tap("visits", run))
        self.assertEqual(self.tap("late-clicks", run), [])

    def test_any_number_of_threads_gives_what_the_reference_gives(self):
        clicks = list(make_clicks(self.seed(), COUNT, DISORDER_MS))
        self.send(clicks)
        for threads in (1, 4):
            self.assert_code(self.work("-c", threads, "--until-end", run=f"-{threads}"), 0)
            self.assert_topics(clicks, f"-{threads}")

    def test_killed_in_the_middle_each_result_comes_once(self):
        clicks = list(make_clicks(self.seed(), COUNT, DISORDER_MS))
        self.send(clicks)
        options = ["--state-dir", "state", "--until-end", "-O", "checkpoint.interval_ms=1", "-O", "batch.rows=16"]
        for threads, point in ((2, "ckpt.complete:1"), (4, "txn.produced:2"), (1, "ckpt.durable:2")):
            done = self.work("-c", threads, *options, variables={"SABOT_CRASH_AT": point})
            self.assertLess(done.code, 0, done.err)
        self.assert_code(self.work("-c", 3, "-O", "state=rocksdb", *options), 0)
        self.assert_topics(clicks)

    def test_a_partition_that_stays_empty_holds_no_minute_back(self):
        """Two users leave at least one of three partitions without a click, and the topic never ends."""
        clicks = [{"user": user, "page": "/", "time": 1_714_564_800_000 + 1000 * i}
                  for i in range(200) for user in ("u1", "u2")]
        self.send(clicks)
        worker = self.start("-A", APP, "worker", *self.binds(["clicks"]), *self.binds(TOPICS), "--state-dir", "state",
                            "-O", "time.idle_after_ms=500", stderr=subprocess.DEVNULL)
        expected = [minute for minute in reference.run(clicks)[0] if minute["window_end"] <= clicks[-1]["time"] - 5000]
        self.assertEqual(len(expected), 6)
        found = []
        while len(found) < len(expected):
            found = self.tap("minutes")
            select.select([], [], [], 0.1)  # the broker has others to serve
        self.assert_results(expected, found)
        done = self.sabot("why", "watermark", "minutes", "--state-dir", "state", "--json")
        self.assert_code(done, 0)
        (step,) = done.summary["steps"]
        self.assertEqual(step["watermark_ms"], clicks[-1]["time"] - 5000)
        self.assertIn("idle", [partition["state"] for partition in step["inputs"]])
        worker.terminate()
        self.assertEqual(worker.wait(), 0)


if __name__ == "__main__":
    unittest.main()
