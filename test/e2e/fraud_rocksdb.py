#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fraud example with its accounts in RocksDB finds what it finds with them in memory, and what the reference finds:
with any number of threads, with so little memory that accounts come and go all the time, over a kill and a restore, and
when idle accounts are forgotten.
"""
import json
import subprocess
import unittest

from _fraud import APP, FraudTest, read_json, reference

COUNT = 60_000
SPARSE = ["-O", "state=rocksdb", "-O", "memory=16MiB"]


class Accounts(FraudTest):
    def setUp(self):
        super().setUp()
        with open(self.folder / "transactions.jsonl", "wb") as file:
            self.bank("--count", COUNT, stdout=file)
        self.rocks = self.folder / "rocks"
        self.rocks.mkdir()
        probe = self.fraud("-O", "state=rocksdb", "-O", "fraud.count=1")
        if probe.code != 0 and "built without RocksDB" in probe.err:
            self.skipTest("built without RocksDB")

    def expected(self, name="transactions.jsonl", **more):
        with open(self.folder / name, encoding="utf-8") as lines:
            return list(reference.score(lines, **more))

    def assert_finds(self, expected, *arguments):
        done = self.fraud("--json", "-O", f"rocksdb.dir={self.rocks}", *arguments)
        self.assert_code(done, 0)
        self.assertEqual(done.summary["records_processed"], COUNT)
        self.assert_alerts(expected, read_json(self.folder / "alerts.jsonl"))
        self.assertEqual(list(self.rocks.iterdir()), [], "the database is removed at the end")

    def test_the_same_alerts_with_any_number_of_threads_and_little_memory(self):
        expected = self.expected()
        for options in (["-O", "state=rocksdb"], SPARSE):
            for threads in (1, 4):
                with self.subTest(options=options, threads=threads):
                    self.assert_finds(expected, "-c", threads, *options,
                                      "--bind", "bank-transactions=file:transactions.jsonl")

    def test_one_state_alone_may_be_in_rocksdb(self):
        self.assert_finds(self.expected(), "-O", "states.score.account.backend=rocksdb",
                          "--bind", "bank-transactions=file:transactions.jsonl")

    def test_a_checkpoint_of_either_backend_goes_on_in_the_other(self):
        expected = self.expected()
        for first, second in (("memory", "rocksdb"), ("rocksdb", "memory")):
            with self.subTest(first=first, second=second):
                arguments = ["--json", "--state-dir", self.folder / f"kept-{first}", "-O", f"rocksdb.dir={self.rocks}",
                             "-O", "checkpoint.interval_ms=1", "--bind", "bank-transactions=file:transactions.jsonl"]
                killed = self.fraud(*arguments, "-O", f"state={first}", to=f"file:{first}.jsonl",
                                    variables={"SABOT_CRASH_AT": "ckpt.complete:2"})
                self.assert_code(killed, -9)
                done = self.fraud(*arguments, "-O", f"state={second}", to=f"file:{first}.jsonl")
                self.assert_code(done, 0)
                self.assertLess(done.summary["records_processed"], COUNT, "it goes on, not anew")
                self.assert_alerts(expected, read_json(self.folder / f"{first}.jsonl"))

    def test_the_next_run_removes_the_database_of_one_that_was_killed_and_of_no_other(self):
        arguments = ["-O", "state=rocksdb", "-O", f"rocksdb.dir={self.rocks}"]
        source = "bank-transactions=file:transactions.jsonl"
        killed = self.fraud(*arguments, "--bind", source, "--state-dir", self.folder / "kept",
                            "-O", "checkpoint.interval_ms=1", variables={"SABOT_CRASH_AT": "ckpt.complete:2"})
        self.assert_code(killed, -9)
        left, = self.rocks.iterdir()
        strange = self.rocks / "sabot-fraud-score-of-somebody-else"
        strange.mkdir()
        alive = self.start("-A", APP, "worker", *arguments, "--bind", f"{source}?follow=true", "--bind",
                           "fraud-alerts=file:live.jsonl", stderr=subprocess.DEVNULL)
        self.wait_until(alive, lambda: (self.folder / "live.jsonl").exists() and self.read("live.jsonl"))
        self.assertFalse(left.exists())
        running = next(self.rocks.glob("*/CURRENT")).parent
        self.assert_code(self.fraud(*arguments, "--bind", source, to="file:other.jsonl"), 0)
        self.assertEqual(set(self.rocks.iterdir()), {running, strange}, "that of a run that goes on stays")
        alive.terminate()
        alive.wait()
        self.assertEqual(list(self.rocks.iterdir()), [strange])

    def test_accounts_that_are_idle_are_forgotten(self):
        rows = (self.folder / "transactions.jsonl").read_text().splitlines()
        rows.sort(key=lambda row: json.loads(row)["timestamp_ms"])
        self.write("sorted.jsonl", "\n".join(rows) + "\n")
        never = self.expected("sorted.jsonl")
        for expire_ms in (600_000, 3_600_000):
            expected = self.expected("sorted.jsonl", expire_ms=expire_ms)
            self.assertTrue(expected != never, f"{expire_ms} ms make no difference")
            for options in (["-c", 1], ["-c", 4], SPARSE):
                with self.subTest(expire_ms=expire_ms, options=options):
                    self.assert_finds(expected, *options, "-O", f"fraud.expire_ms={expire_ms}",
                                      "--bind", "bank-transactions=file:sorted.jsonl")

    def test_a_database_that_cannot_be_made_is_a_clear_error(self):
        self.write("plain", "a file")
        for folder, reason in ((self.folder / "missing", "No such file"), (self.folder / "plain", "Not a directory")):
            with self.subTest(folder=folder):
                done = self.fraud("-O", "state=rocksdb", "-O", f"rocksdb.dir={folder}", "-O", "fraud.count=1")
                self.assert_code(done, 2)
                self.assertIn(reason, done.err)
                self.assertIn(str(folder), done.err)


if __name__ == "__main__":
    unittest.main()
