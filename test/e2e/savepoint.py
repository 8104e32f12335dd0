#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Savepoints: made by a worker that runs, gone on from by another one, whatever keeps its state, with any number of
threads, and by the next version of the app; and the other choices where to go on."""
import collections
import hashlib
import json
import pathlib
import signal
import subprocess
import unittest

from _command import SABOT, SOURCE, CommandTest, compile_app

KEYS, LETTERS = 7, 5
FAST = ["-O", "checkpoint.interval_ms=1"]
ROCKSDB = ["-O", "state=rocksdb", "-O", "rocksdb.dir=.", "-O", "memory=16MiB"]
BACKENDS = {"memory": [], "rocksdb": ROCKSDB}
COPYING = ["restore.opening", "restore.choosing", "restore.rehearsing", "restore.writing", "restore.folder_made",
           "restore.file_copied", "ckpt.manifest_written", "ckpt.manifest_synced", "ckpt.manifest_renamed",
           "restore.copied", "restore.before_cut", "restore.shard", "restore.complete"]


def records(start, end):
    return b"".join(b'{"id":%d,"key":"k%d","number":%d}\n' % (i, i % KEYS, i % KEYS) for i in range(start, end))


class SavepointTest(CommandTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.compiled = {}

    @classmethod
    def version(cls, number):
        if number not in cls.compiled:
            source = cls.apps / f"version{number}.c"
            source.write_text(f'#define VERSION {number}\n#include "{SOURCE}/test/e2e/_versions.c"\n')
            cls.compiled[number] = f"{compile_app(cls.apps, source, f'version{number}.so')}:app"
        return cls.compiled[number]

    def has_rocksdb(self):
        self.write("none.jsonl", b"")
        done = self.sabot("-A", self.version(1), "worker", "--bind", "in=file:none.jsonl", "--bind",
                          "out=file:none.out", "--bind", "watched=file:none.watched", *ROCKSDB)
        return "built without RocksDB" not in done.err

    def command(self, *arguments, version=1, follow=False, out="out.jsonl", state="state"):
        source = "file:in.jsonl?follow=true" if follow else "file:in.jsonl"
        binds = ["--bind", f"in={source}", "--bind", f"out=file:{out}"]
        if version != 6:
            binds += ["--bind", f"watched=file:watched-{out}"]
        if version == 9:
            binds += ["--bind", f"more={source.replace('in.', 'more.')}", "--bind", f"second-out=file:second-{out}"]
        return ["-A", self.version(version), "worker", *binds, "--state-dir", state, *arguments]

    def run_on(self, *arguments, variables=None, **options):
        return self.sabot(*self.command(*arguments, **options), variables=variables)

    def begin(self, *arguments, variables=None, **options):
        """A worker that goes on, and can be asked."""
        process = self.start(*self.command(*arguments, follow=True, **options), variables=variables,
                             stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.read_until(process.stderr, "agent  ")
        return process

    def wait_for(self, process, count, out="out.jsonl"):
        """Until so many lines are out."""
        path = self.folder / out
        while not path.exists() or path.read_bytes().count(b"\n") < count:
            try:
                process.wait(0.005)
                self.fail(f"it has ended with {process.returncode}: {process.stderr.read().decode()}")
            except subprocess.TimeoutExpired:
                pass

    def save(self, name, *arguments, state="state"):
        done = self.sabot("savepoint", "create", name, "--state-dir", state, *arguments)
        self.assert_code(done, 0)
        self.assertEqual(done.out.strip(), str(self.folder / name))

    def save_at(self, count, name="saved", *arguments, **options):
        """A worker that has processed so many, and was stopped with a savepoint."""
        self.write("in.jsonl", records(0, count))
        process = self.begin(*arguments, **options)
        self.wait_for(process, count, options.get("out", "out.jsonl"))
        self.save(name, "--stop", state=options.get("state", "state"))
        self.assertEqual(process.wait(), 0)

    def digest(self, name):
        """Of every byte and name below a folder."""
        digest = hashlib.sha256()
        for path in sorted((self.folder / name).rglob("*")):
            digest.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
        return digest.hexdigest()

    def lines(self, out="out.jsonl"):
        return [json.loads(line) for line in self.read(out).splitlines()]

    def assert_exactly_once(self, count, out="out.jsonl", first=0):
        """Each record once, with all that was known of its key; and each timer has fired once."""
        seen, total, mapped = collections.Counter(), collections.Counter(), collections.Counter()
        ids, fired = [], []
        lines = self.lines(out)
        for i in range(first):
            seen[f"k{i % KEYS}"] += 1
            total[f"k{i % KEYS}"] += i
            mapped[i % KEYS, i % LETTERS] += 1
        for line in lines:
            if line["fired"]:
                fired.append(line["id"])
                continue
            key = line["key"]
            seen[key] += 1
            total[key] += line["id"]
            mapped[line["id"] % KEYS, line["id"] % LETTERS] += 1
            ids.append(line["id"])
            self.assertEqual((line["seen"], line["total"], line["listed"], line["mapped"]),
                             (seen[key], total[key], seen[key], mapped[line["id"] % KEYS, line["id"] % LETTERS]), line)
        self.assertEqual(sorted(ids), list(range(first, count)))
        self.assertEqual(sorted(fired), list(range(count)))


class AnyBackendAnyThreads(SavepointTest):
    def test_what_one_worker_has_saved_another_goes_on_from(self):
        pairs = [("memory", 1, "memory", 4), ("memory", 4, "memory", 1)]
        if self.has_rocksdb():
            pairs += [("memory", 2, "rocksdb", 4), ("rocksdb", 4, "memory", 2), ("rocksdb", 1, "rocksdb", 2),
                      ("rocksdb", 2, "memory", 1), ("memory", 4, "rocksdb", 1)]
        for one, threads, other, threads_then in pairs:
            with self.subTest(one=one, threads=threads, other=other, threads_then=threads_then):
                self.save_at(100, "saved", "-c", threads, *BACKENDS[one])
                before = self.digest("saved")
                self.write("in.jsonl", records(100, 200), "ab")
                self.assert_code(self.run_on("--restore", "./saved", "-c", threads_then, *BACKENDS[other]), 0)
                self.assert_exactly_once(200)
                self.assertEqual(self.digest("saved"), before, "it was changed")
                subprocess.run("rm -r state saved *.jsonl", shell=True, cwd=self.folder, check=True)

    def test_the_same_state_gives_the_same_bytes(self):
        self.save_at(100, "saved", "-c", 3)
        state = next((self.folder / "saved").rglob("state")).read_bytes()
        backend = ROCKSDB if self.has_rocksdb() else []
        process = self.begin("--restore", "./saved", "-c", 2, *backend, state="other")
        self.save("again", "--stop", state="other")
        self.assertEqual(process.wait(), 0)
        self.assertEqual(next((self.folder / "again").rglob("state")).read_bytes(), state)


    def test_more_threads_than_partitions_with_an_agent_before_the_keyed_one(self):
        """Some of the threads have nothing to do with the agent that has no key, and its time."""
        words = pathlib.Path(SABOT).parent / "word_count.so"
        if not words.exists():
            self.skipTest("the example is not built")
        line = b'{"line":"to be or not to be"}\n'
        self.write("lines.jsonl", line * 50)
        command = ["-A", f"{words}:app", "worker", "--bind", "counts=file:counts.jsonl", "--state-dir", "state"]
        process = self.start(*command, "--bind", "lines=file:lines.jsonl?follow=true", stderr=subprocess.PIPE)
        self.read_until(process.stderr, "agent  ")
        self.wait_for(process, 300, "counts.jsonl")
        self.save("saved", "--stop")
        self.assertEqual(process.wait(), 0)
        self.write("lines.jsonl", line * 50, "ab")
        self.assert_code(self.sabot(*command, "--bind", "lines=file:lines.jsonl", "-c", 3, "--restore", "./saved"), 0)
        self.assertEqual(max(line["count"] for line in self.lines("counts.jsonl")), 200)


class Stopping(SavepointTest):
    def test_nothing_is_processed_behind_a_savepoint_that_stops(self):
        for threads in (1, 3):
            with self.subTest(threads=threads):
                self.write("in.jsonl", records(0, 3000))
                process = self.begin(*FAST, "-c", threads)
                self.save("saved", "--stop")
                self.assertEqual(process.wait(), 0)
                shown = json.loads(self.sabot("savepoint", "show", "saved", "--json").out)
                done = len(self.lines())
                self.assertEqual(shown["inputs"][0]["offset"], len(records(0, done)))
                self.write("in.jsonl", records(3000, 3100), "ab")
                self.assert_code(self.run_on("--restore", "./saved"), 0)
                self.assert_exactly_once(3100)
                subprocess.run("rm -r state saved *.jsonl", shell=True, cwd=self.folder, check=True)

    def test_a_worker_that_dies_in_it_leaves_no_savepoint(self):
        for label in ("ckpt.manifest_renamed", "ckpt.durable", "savepoint.head_written", "savepoint.names_synced"):
            with self.subTest(label=label):
                self.write("in.jsonl", records(0, 50))
                process = self.begin("-O", "checkpoint.interval_ms=3600000", "-c", 2,
                                     variables={"SABOT_CRASH_AT": f"{label}:{1 if 'save' in label else 2}"})
                self.wait_for(process, 50)
                done = self.sabot("savepoint", "create", "saved", "--state-dir", "state")
                self.assert_code(done, 1)
                self.assertEqual(process.wait(), -signal.SIGKILL)
                self.assert_code(self.sabot("savepoint", "show", "saved"), 2)
                self.assert_code(self.run_on("--restore", "./saved"), 2)
                self.assert_code(self.run_on(), 0)
                self.assert_exactly_once(50)
                subprocess.run("rm -r state saved *.jsonl", shell=True, cwd=self.folder, check=True)

    def test_a_savepoint_that_can_not_be_written_does_no_harm(self):
        self.write("in.jsonl", records(0, 50))
        process = self.begin()
        self.wait_for(process, 50)
        self.assert_code(self.sabot("savepoint", "create", "no/such/folder", "--state-dir", "state"), 2)
        self.save("saved", "--stop")
        self.assertEqual(process.wait(), 0)
        self.assert_code(self.run_on("--restore", "./saved"), 0)
        self.assert_exactly_once(50)

    def test_a_savepoint_outlives_the_checkpoints_of_its_time(self):
        self.write("in.jsonl", records(0, 50))
        process = self.begin(*FAST, "-O", "checkpoint.keep=1")
        self.wait_for(process, 50)
        self.save("saved")
        before = self.digest("saved")
        for start in range(50, 150, 10):
            self.write("in.jsonl", records(start, start + 10), "ab")
            self.wait_for(process, start + 10)
            self.assert_code(self.sabot("checkpoint", "create", "--state-dir", "state"), 0)
        self.assertEqual(len(list((self.folder / "state/versions/count").glob("ckpt-*"))), 1)
        self.assertEqual(self.digest("saved"), before)
        process.send_signal(signal.SIGTERM)
        process.wait()
        # Back to it: what came since is written again, over what it was.
        refused = self.run_on("--restore", "./saved")
        self.assert_code(refused, 3)
        self.assert_in(["--force", "in, partition 0", "read again"], refused.error)
        self.assert_code(self.run_on("--restore", "./saved", "--force"), 0)
        self.assert_exactly_once(150)
        self.assertEqual(self.digest("saved"), before)


class Recovery(SavepointTest):
    def test_a_restore_that_is_killed_again_and_again(self):
        self.save_at(100)
        before = self.digest("saved")
        for label in COPYING:
            with self.subTest(label=label):
                done = self.run_on("--restore", "./saved", "--force", "-c", 2,
                                   variables={"SABOT_CRASH_AT": f"{label}:1"})
                self.assertEqual(done.code, -signal.SIGKILL, done.err)
        self.write("in.jsonl", records(100, 200), "ab")
        self.assert_code(self.run_on("--restore", "./saved", "-c", 3), 0)
        self.assert_exactly_once(200)
        self.assertEqual(self.digest("saved"), before)

    def test_a_worker_killed_behind_its_restore_goes_on_with_or_without_the_same_words(self):
        for words in (["--restore", "./saved"], []):
            with self.subTest(words=words):
                self.save_at(100)
                self.write("in.jsonl", records(100, 150), "ab")
                process = self.begin("--restore", "./saved")
                self.wait_for(process, 150)
                self.assert_code(self.sabot("checkpoint", "create", "--state-dir", "state"), 0)
                process.kill()
                process.wait()
                self.write("in.jsonl", records(150, 200), "ab")
                done = self.run_on(*words)
                self.assert_code(done, 0)
                if words:
                    self.assertIn("was restored before", done.err)
                self.assert_exactly_once(200)
                subprocess.run("rm -r state saved *.jsonl", shell=True, cwd=self.folder, check=True)

    def test_elsewhere_with_outputs_that_begin_anew(self):
        self.save_at(100)
        self.write("in.jsonl", records(100, 200), "ab")
        self.assert_code(self.run_on("--restore", "./saved", state="other", out="new.jsonl"), 0)
        self.assert_exactly_once(200, out="new.jsonl", first=100)

    def test_another_checkpoint_that_is_kept(self):
        self.write("in.jsonl", records(0, 50))
        process = self.begin("-O", "checkpoint.interval_ms=3600000")
        ids = []
        for start in range(50, 200, 50):
            self.wait_for(process, start)
            done = self.sabot("checkpoint", "create", "--state-dir", "state", "--json")
            self.assert_code(done, 0)
            ids.append(json.loads(done.out)["checkpoints"][0]["id"])
            self.write("in.jsonl", records(start, start + 50), "ab")
        process.kill()
        process.wait()
        refused = self.run_on("--restore", ids[0])
        self.assert_code(refused, 3)
        self.assert_in([f"counts, which is {ids[-1]}", "--force", "read again"], refused.error)
        self.assert_code(self.run_on("--restore", 4711), 3)
        self.assert_code(self.run_on("--restore", "x"), 2)
        self.assert_code(self.run_on("--restore", ids[0], "--force"), 0)
        self.assert_exactly_once(200)

    def test_a_damaged_checkpoint_names_the_others(self):
        self.write("in.jsonl", records(0, 50))
        process = self.begin("-O", "checkpoint.interval_ms=3600000")
        self.wait_for(process, 50)
        for _ in range(2):
            self.assert_code(self.sabot("checkpoint", "create", "--state-dir", "state"), 0)
        process.kill()
        process.wait()
        newest = max((self.folder / "state/versions/count").glob("ckpt-*")) / "manifest"
        newest.write_bytes(b"damaged")
        refused = self.run_on()
        self.assert_code(refused, 3)
        self.assert_in(["manifest", "--reset", "--restore ID --force: 2, 1"], refused.error)
        self.assert_code(self.run_on("--restore", 1), 3)
        self.assert_code(self.run_on("--restore", 1, "--force"), 0)
        self.assert_exactly_once(50)

    def test_what_does_not_go_together(self):
        self.write("in.jsonl", records(0, 10))
        for words, part in ((["--restore", "1", "--reset"], "only one"), (["--force"], "--restore"),
                            (["--from-offsets", "--reset"], "only one")):
            done = self.run_on(*words)
            self.assert_code(done, 2)
            self.assertIn(part, done.error)
        done = self.run_on("--from-offsets")
        self.assert_code(done, 3)
        self.assertIn("consumer group", done.error)
        done = self.run_on("--restore", "./missing")
        self.assert_code(done, 2)
        self.assertIn("no savepoint", done.error)


class Versions(SavepointTest):
    def setUp(self):
        super().setUp()
        self.save_at(100)
        self.before = self.digest("saved")
        self.write("in.jsonl", records(100, 200), "ab")

    def tearDown(self):
        self.assertEqual(self.digest("saved"), self.before, "it was changed")

    def go_on(self, version, *arguments, code=0):
        done = self.run_on("--restore", "./saved", *arguments, version=version, state=f"state{len(arguments)}",
                           out=f"then{len(arguments)}.jsonl")
        self.assert_code(done, code)
        return done

    def new(self, arguments=0):
        return [line for line in self.lines(f"then{arguments}.jsonl") if not line["fired"]]

    def test_a_field_that_was_added_has_its_default(self):
        self.go_on(2)
        self.assertEqual({line["bonus"] for line in self.new()}, {7})
        self.assertEqual([line["seen"] for line in self.new()], [i // KEYS + 1 for i in range(100, 200)])

    def test_a_field_that_was_removed_is_dropped(self):
        self.go_on(3)
        self.assertEqual([line["seen"] for line in self.new()], [i // KEYS + 1 for i in range(100, 200)])

    def test_a_field_of_another_type_is_refused(self):
        self.assert_in(["tally", "seen", "float64"], self.go_on(4, code=3).error)

    def test_what_is_refused_has_changed_nothing(self):
        before = self.read("out.jsonl")
        for version in (4, 5, 6, 7, 8):
            done = self.run_on("--restore", "./saved", "--force", version=version)
            self.assert_code(done, 3)
            self.assertEqual(self.read("out.jsonl"), before)
            self.assertEqual(len(list((self.folder / "state/versions/count").glob("ckpt-*"))), 1)
        self.assert_code(self.run_on(), 0)
        self.assert_exactly_once(200)

    def test_a_table_that_changed_under_the_same_version_is_refused(self):
        self.assert_in(["tally", "version"], self.go_on(8, code=3).error)

    def test_a_state_that_is_gone_is_named_and_dropped_when_told(self):
        self.assert_in(["list", "count", "--drop-state"], self.go_on(5, code=3).error)
        self.go_on(5, "--drop-state")
        self.assertEqual([line["seen"] for line in self.new(1)], [i // KEYS + 1 for i in range(100, 200)])
        self.assertEqual({line["listed"] for line in self.new(1)}, {0})

    def test_an_agent_that_is_gone_is_named_and_dropped_when_told(self):
        self.assert_in(["the agent watch", "the output watched", "--drop-state"], self.go_on(6, code=3).error)
        self.go_on(6, "--drop-state")
        self.assertEqual([line["seen"] for line in self.new(1)], [i // KEYS + 1 for i in range(100, 200)])

    def test_keys_of_another_type_are_refused(self):
        self.assert_in(["count", "utf8", "int64"], self.go_on(7, code=3).error)


class Pipelines(SavepointTest):
    def check_second(self, count):
        self.assertEqual([(line["id"], line["seen"]) for line in self.lines("second-out.jsonl")],
                         [(i, i // KEYS + 1) for i in range(count)])

    def test_a_savepoint_has_all_pipelines(self):
        self.write("more.jsonl", records(0, 30))
        self.save_at(50, version=9)
        self.write("more.jsonl", records(30, 60), "ab")
        self.write("in.jsonl", records(50, 100), "ab")
        refused = self.run_on("--restore", "./saved")
        self.assert_code(refused, 3)
        self.assert_in(["pipeline second", "--drop-state"], refused.error)
        self.assert_code(self.run_on("--restore", "./saved", version=9), 0)
        self.assert_exactly_once(100)
        self.check_second(60)

    def test_a_pipeline_that_is_gone_is_dropped_when_told(self):
        self.write("more.jsonl", records(0, 30))
        self.save_at(50, version=9)
        self.write("in.jsonl", records(50, 100), "ab")
        self.assert_code(self.run_on("--restore", "./saved", "--drop-state"), 0)
        self.assert_exactly_once(100)

    def test_a_pipeline_that_is_new_begins_with_nothing(self):
        self.save_at(50)
        self.write("more.jsonl", records(0, 30))
        self.write("in.jsonl", records(50, 100), "ab")
        self.assert_code(self.run_on("--restore", "./saved", version=9), 0)
        self.assert_exactly_once(100)
        self.check_second(30)


class Command(SavepointTest):
    def test_savepoints_are_listed_shown_and_removed(self):
        self.write("in.jsonl", records(0, 20))
        process = self.begin()
        self.wait_for(process, 20)
        first = self.sabot("savepoint", "create", "--state-dir", "state").out.strip()
        self.assertEqual(pathlib.Path(first).parent, self.folder / "state/savepoints")
        self.save("saved")
        again = self.sabot("savepoint", "create", "saved", "--state-dir", "state")
        self.assert_code(again, 1)
        self.assertIn("exists", again.error)
        listed = self.sabot("savepoint", "ls", "--state-dir", "state")
        self.assertEqual([line.split(":")[0] for line in listed.out.splitlines()], [first])
        self.assertIn("offset", self.sabot("savepoint", "show", "saved").out)
        # Its states are those of a state directory.
        states = self.sabot("state", "ls", "--savepoint", "saved", "--json")
        self.assertEqual(sorted({json.loads(line)["state"] for line in states.out.splitlines()}),
                         ["list", "map", "tally", "timer", "watched"])
        (self.folder / "saved/mine").write_text("a file of somebody else's")
        self.assert_code(self.sabot("savepoint", "rm", "saved"), 1)
        self.assertEqual([path.name for path in (self.folder / "saved").iterdir()], ["mine"])
        self.assert_code(self.sabot("savepoint", "rm", first), 0)
        self.assertFalse(pathlib.Path(first).exists())
        self.assert_code(self.sabot("savepoint", "rm", "state"), 2)
        self.assertTrue((self.folder / "state/versions").exists())

    def test_state_of_a_worker_that_runs(self):
        self.write("in.jsonl", records(0, 100))
        process = self.begin("-c", 3, "-O", "checkpoint.interval_ms=3600000")
        self.wait_for(process, 100)
        # What one has left that was killed is removed, whether it had come to an end or not.
        killed = subprocess.Popen(["true"])
        killed.wait()
        left = self.folder / "state" / f".peek-{killed.pid}-7"
        (left / "app" / "pipe").mkdir(parents=True)
        (left / "app" / "pipe" / "state").write_bytes(b"half")
        got = self.sabot("state", "get", "count", "tally", "k1", "--running", "--state-dir", "state", "--json")
        self.assert_code(got, 0)
        self.assertEqual(json.loads(got.out)["value"], {"seen": 15, "total": sum(range(1, 100, KEYS))})
        for wrong in (["nobody", "tally", "k1"], ["count", "nothing", "k1"]):
            self.assert_code(self.sabot("state", "get", *wrong, "--running", "--state-dir", "state"), 2)
        self.assert_code(self.sabot("state", "get", "count", "tally", "k9", "--running", "--state-dir", "state"), 1)
        # While records come: at one moment, both agents have seen the same.
        self.write("in.jsonl", records(100, 3000), "ab")
        for _ in range(5):
            dump = self.sabot("state", "dump", "--running", "--state-dir", "state", "--json")
            self.assert_code(dump, 0)
            sums = collections.Counter()
            for row in map(json.loads, dump.out.splitlines()):
                if row["state"] in ("tally", "watched"):
                    sums[row["state"]] += row["value"].get("seen", row["value"].get("count"))
            self.assertEqual(sums["tally"], sums["watched"])
            self.assertGreaterEqual(sums["tally"], 100)
        listed = self.sabot("state", "ls", "--running", "--state-dir", "state")
        self.assertIn("tally", listed.out)
        self.assertEqual(list((self.folder / "state").glob(".peek*")), [])

    def test_a_savepoint_without_a_worker(self):
        done = self.sabot("savepoint", "create", "saved", "--state-dir", ".")
        self.assert_code(done, 2)
        self.assertIn("no worker", done.error)


if __name__ == "__main__":
    unittest.main()
