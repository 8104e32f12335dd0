#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Windows of an agent, of every make, against a model: cut by kills at random places, over checkpoints and savepoints,
whatever keeps their state and with any number of threads; and what a later version of the app may change of them."""
import collections
import json
import os
import random
import signal
import subprocess
import sys
import unittest

from _command import SOURCE, CommandTest, compile_app

MINUTE_MS, SLIDE_MS, GAP_MS, LATENESS_MS = 60_000, 20_000, 30_000, 60_000
USERS = 30
POINTS = {"memory": ["task.snapshot", "task.image_begun", "task.image_done", "ckpt.manifest_written", "ckpt.complete"],
          "rocksdb": ["task.snapshot", "ckpt.manifest_written", "ckpt.complete"]}


def make_items(seed, count):
    """Out of order, but never by more than the lateness: all windows are whole when they fire."""
    chance = random.Random(seed)
    newest = 1_714_564_800_000
    for number in range(count):
        newest += chance.choice((0, 1, 200, 1000, 5000))
        yield {"user": f"u{chance.randrange(USERS)}", "id": number, "amount": chance.randrange(-50, 100),
               "time": newest - chance.randrange(LATENESS_MS)}


def fired(window, user, start, end, items, number=1, records=None):
    """What the app tells of a window with these items, in order of arrival."""
    in_order = sorted(items, key=lambda item: item["time"])
    line = {"window": window, "user": user, "start": start, "end": end, "number": number,
            "records": len(items) if records is None else records, "total": sum(item["amount"] for item in items),
            "kept": sum(item["id"] for item in items) if window == "minutes" else 0}
    if window in ("minutes", "visits"):
        line["ids"] = json.dumps([item["id"] for item in in_order], separators=(",", ":"))
    return line


def visits_of(items):
    visit, end = [], None
    for item in sorted(items, key=lambda item: item["time"]):
        if visit and item["time"] >= end:
            yield visit
            visit = []
        visit.append(item)
        end = item["time"] + GAP_MS
    yield visit


def model(items):
    minutes, slides, users = (collections.defaultdict(list) for _ in range(3))
    for item in items:
        users[item["user"]].append(item)
        minutes[item["user"], item["time"] // MINUTE_MS * MINUTE_MS].append(item)
        newest = item["time"] // SLIDE_MS * SLIDE_MS
        for start in range(newest, newest - MINUTE_MS, -SLIDE_MS):
            slides[item["user"], start].append(item)
    for (user, start), inside in minutes.items():
        yield fired("minutes", user, start, start + MINUTE_MS, inside)
        early = len(inside) // 3
        for number in range(1, early + 1):
            yield fired("early", user, start, start + MINUTE_MS, inside[:3 * number], number)
        yield fired("early", user, start, start + MINUTE_MS, inside, early + 1)
    for (user, start), inside in slides.items():
        yield fired("slides", user, start, start + MINUTE_MS, inside)
    for user, all_items in users.items():
        for visit in visits_of(all_items):
            times = [item["time"] for item in visit]
            yield fired("visits", user, min(times), max(times) + GAP_MS, sorted(visit, key=lambda item: item["id"]))


def in_order(lines):
    return sorted(json.dumps(line, sort_keys=True) for line in lines)


class WindowsTest(CommandTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.compiled = {}

    @classmethod
    def version(cls, number):
        if number not in cls.compiled:
            source = cls.apps / f"windows{number}.c"
            source.write_text(f'#define VERSION {number}\n#include "{SOURCE}/test/e2e/_windows.c"\n')
            cls.compiled[number] = f"{compile_app(cls.apps, source, f'windows{number}.so')}:app"
        return cls.compiled[number]

    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("SABOT_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
        print(f"SABOT_TEST_SEED={self.seed}", file=sys.stderr)
        self.write("none.jsonl", b"")
        done = self.work("-O", "state=rocksdb", "-O", "rocksdb.dir=.", items="none.jsonl", out="none.out")
        self.backends = ["memory"] if "built without RocksDB" in done.err else ["memory", "rocksdb"]

    def command(self, *arguments, version=1, items="items.jsonl", out="out.jsonl"):
        return ["-A", self.version(version), "worker", "--bind", f"in=file:{items}", "--bind", f"out=file:{out}",
                *arguments]

    def work(self, *arguments, variables=None, **options):
        return self.sabot(*self.command(*arguments, **options), variables=variables)

    def make(self, count):
        items = list(make_items(self.seed, count))
        self.write("items.jsonl", "".join(json.dumps(item) + "\n" for item in items))
        return items

    def assert_fired(self, items, out="out.jsonl"):
        found = in_order(json.loads(line) for line in self.read(out).splitlines())
        expected = in_order(model(items))
        for wanted, got in zip(expected, found):
            self.assertEqual(json.loads(wanted), json.loads(got))
        self.assertEqual(len(expected), len(found))

    def wait_for_line(self, process, out):
        path = self.folder / out
        self.wait_until(process, lambda: path.exists() and path.stat().st_size > 0)


class Cut(WindowsTest):
    def test_uncut_they_give_what_the_model_gives(self):
        items = self.make(3000)
        for backend in self.backends:
            for threads in (1, 3):
                with self.subTest(backend=backend, threads=threads):
                    self.assert_code(self.work("-c", threads, "-O", f"state={backend}", "-O", "rocksdb.dir=."), 0)
                    self.assert_fired(items)

    def test_killed_wherever_it_may_be_they_give_the_same(self):
        items = self.make(6000)
        chance = random.Random(self.seed)
        for number in range(4):
            out = f"out-{number}.jsonl"
            common = ["-O", "batch.rows=4", "-O", "checkpoint.interval_ms=1", "-O", "rocksdb.dir=.", "--state-dir",
                      f"state-{number}"]
            kills = 0
            for _ in range(4):
                backend = chance.choice(self.backends)
                hit = chance.randrange(1, 5) if kills else 1  # each run comes by once, at its end at the latest
                point = f"{chance.choice(POINTS[backend])}:{hit}"
                done = self.work(*common, "-c", chance.randrange(1, 5), "-O", f"state={backend}", out=out,
                                 variables={"SABOT_CRASH_AT": point})
                if done.code == 0:
                    break
                self.assert_code(done, -signal.SIGKILL)
                kills += 1
            else:
                self.assert_code(self.work(*common, "-c", chance.randrange(1, 5), "-O",
                                           f"state={chance.choice(self.backends)}", out=out), 0)
            self.assertGreater(kills, 0)
            self.assert_fired(items, out)


class Saved(WindowsTest):
    def save(self, *arguments, state="state"):
        """A worker that has come to the end of what there is, and was stopped with a savepoint."""
        process = self.start(*self.command(*arguments, "--state-dir", state, items="items.jsonl?follow=true"),
                             stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.read_until(process.stderr, "agent  ")
        self.wait_for_line(process, "out.jsonl")
        self.assert_code(self.sabot("savepoint", "create", "saved", "--state-dir", state, "--stop"), 0)
        self.assertEqual(process.wait(), 0)

    def test_through_a_savepoint_they_give_the_same(self):
        for one in self.backends:
            for other in self.backends:
                with self.subTest(one=one, other=other):
                    items = self.make(2000)
                    self.save("-c", 3, "-O", f"state={one}", "-O", "rocksdb.dir=.", "-O", "checkpoint.interval_ms=1")
                    more = list(make_items(self.seed, 3000))
                    self.write("items.jsonl", "".join(json.dumps(item) + "\n" for item in more[len(items):]), "ab")
                    self.assert_code(self.work("--restore", "./saved", "--state-dir", "state", "-c", 2, "-O",
                                               f"state={other}", "-O", "rocksdb.dir=."), 0)
                    self.assert_fired(more)
                    subprocess.run("rm -r state saved *.jsonl", shell=True, cwd=self.folder, check=True)

    def test_what_they_keep_must_not_change_between_runs(self):
        self.make(2000)
        self.save("-O", "checkpoint.interval_ms=1")
        for version, window in ((2, "slides"), (3, "slides"), (4, "visits"), (5, "minutes"), (6, None)):
            with self.subTest(version=version):
                done = self.work("--restore", "./saved", "--state-dir", f"state-{version}", version=version)
                self.assert_code(done, 3 if window else 0)
                if window:
                    self.assert_in([f"state {window}.", "give the window another name"], done.error)


if __name__ == "__main__":
    unittest.main()
