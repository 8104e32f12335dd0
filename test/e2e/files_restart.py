#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From file to file with a state directory, and the process dies: at every crash point, at the first and at later
passes through it, and wherever a kill from outside hits. The next start goes on, and in the end the output is that of a
run that never died: each record once, in the order of its key, with the state its key then had."""
import json
import os
import re
import signal
import subprocess
import unittest

from _command import SOURCE, CommandTest

COUNT = 30000
KEYS = 13


def labels():
    """Every crash point of the source but those of transactions, which files have none of, and of states in RocksDB,
    which are in recovery.py."""
    found = set()
    for path in sorted((SOURCE / "src").rglob("*.c")):
        found.update(re.findall(r'"((?:ckpt|restore)\.(?!rows_)[a-z_]+)"', path.read_text()))
    return sorted(found)


class Restarts(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("in.jsonl", b"".join(b'{"id":%d,"key":"k%d"}\n' % (i, i % KEYS) for i in range(COUNT)))

    def start_kept(self, *arguments, **more):
        options = ["--state-dir", "state", "-O", "checkpoint.interval_ms=1", "-O", "checkpoint.keep=1"]
        return self.start_echo(*options, *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)

    def run_kept(self, *arguments, **more):
        process = self.start_kept(*arguments, **more)
        _, err = process.communicate()
        return process.returncode, err.decode("utf-8", "backslashreplace")

    def finish(self, *arguments):
        code, err = self.run_kept(*arguments)
        self.assertEqual(code, 0, err)
        seen = [0] * KEYS
        for line in map(json.loads, self.read("out.jsonl").splitlines()):
            key = int(line["key"][1:])
            self.assertEqual(line["id"], seen[key] * KEYS + key)
            seen[key] += 1
            self.assertEqual(line["seen"], seen[key])
        self.assertEqual(sum(seen), COUNT)

    def forget(self):
        subprocess.run(["rm", "-rf", "state", "out.jsonl"], cwd=self.folder, check=True)

    def die_at(self, label, hit):
        """Did it come by there?"""
        self.forget()
        if label.startswith("restore."):
            # Only a start that finds something comes by there.
            self.run_kept(variables={"SABOT_CRASH_AT": "ckpt.committed:2"})
        code, err = self.run_kept("-c", 2, variables={"SABOT_CRASH_AT": f"{label}:{hit}"})
        self.assertIn(code, (0, -signal.SIGKILL), err)
        return code != 0

    def test_a_process_that_dies_at_a_crash_point_is_followed_by_one_that_goes_on(self):
        hits = {label: 0 for label in labels()}
        for label in hits:
            for hit in (1, 2, 4):
                with self.subTest(label=label, hit=hit):
                    hits[label] += self.die_at(label, hit)
                    self.finish("-c", 2)
        print("deaths at", hits)
        self.assertGreater(sum(hits.values()), len(hits))

    def test_a_process_that_is_killed_again_and_again_gets_to_the_end(self):
        self.forget()
        output = self.folder / "out.jsonl"
        for i in range(8):
            process = self.start_kept("-c", 1 + i % 2)
            size = output.stat().st_size if output.exists() else 0
            # Until it has written something, or has come to its end.
            while process.poll() is None and (not output.exists() or output.stat().st_size <= size):
                os.sched_yield()
            process.kill()
            process.communicate()
        self.finish()

    def test_a_clean_stop_is_gone_on_from_as_well(self):
        self.forget()
        for i in range(5):
            process = self.start_kept("-c", 1 + i % 2)
            self.read_until(process.stderr, "agent")
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate()
            self.assertEqual(process.returncode, 0, err)
        self.finish()

    def test_an_output_that_was_changed_is_not_gone_on_with(self):
        self.forget()
        follow = "file:in.jsonl?follow=true"
        self.run_kept(source=follow, variables={"SABOT_CRASH_AT": "ckpt.committed:2"})
        os.truncate(self.folder / "out.jsonl", 10)
        code, err = self.run_kept(source=follow)
        self.assertEqual(code, 3, err)
        self.assertIn("out.jsonl: it has 10 bytes, and ", err)


if __name__ == "__main__":
    unittest.main()
