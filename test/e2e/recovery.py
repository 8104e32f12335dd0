#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From file to file with a state directory: whatever ends a worker, the next one makes the output what it would be."""
import collections
import json
import os
import signal
import subprocess
import unittest

from _command import CommandTest

KEYS = 7
FAST = ["-O", "checkpoint.interval_ms=1"]
STEPS = ["ckpt.barrier", "task.image_begun", "ckpt.folder_made", "ckpt.chunks_appended", "task.image_done",
         "ckpt.gathered", "ckpt.linked", "ckpt.chunks_written", "ckpt.chunks_synced",
         "ckpt.manifest_written", "ckpt.manifest_synced", "ckpt.names_synced", "ckpt.manifest_renamed",
         "ckpt.folder_synced", "ckpt.durable", "ckpt.committed"]
ROWS = ["task.image_begun", "task.image_done", "ckpt.gathered", "ckpt.rows_asked", "ckpt.rows_flushed",
        "ckpt.rows_staged", "ckpt.rows_thawed", "ckpt.rows_linked", "ckpt.rows_hashed", "ckpt.rows_copied",
        "ckpt.rows_taken", "ckpt.manifest_renamed", "ckpt.durable", "ckpt.committed"]
REMOVAL = ["ckpt.before_remove", "ckpt.remove_manifest_gone"]


def records(start, end):
    return b"".join(b'{"id":%d,"key":"k%d"}\n' % (i, i % KEYS) for i in range(start, end))


class RecoveryTest(CommandTest):
    def run_on(self, *arguments, follow=False, crash=None, **more):
        """A worker with the state directory, at rest when `follow` is false."""
        source = "file:in.jsonl?follow=true" if follow else "file:in.jsonl"
        variables = {"SABOT_CRASH_AT": crash} if crash else {}
        arguments = ["--state-dir", "state", *arguments]
        if follow:
            return self.start(*self.echo_command(source=source), *arguments, variables=variables,
                              stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **more)
        return self.echo(*arguments, source=source, variables=variables, **more)

    def lines(self):
        path = self.folder / "out.jsonl"
        return path.read_text().splitlines() if path.exists() else []

    def checkpoints(self):
        return sorted((self.folder / "state/echo/repeat").glob("ckpt-*"))

    def complete(self):
        """Those that are whole."""
        return [path for path in self.checkpoints() if (path / "manifest").exists()]

    def assert_exactly_once(self, count):
        """Each record once; each key in its order, with a state that has seen each record once."""
        seen = collections.Counter()
        ids = []
        for line in map(json.loads, self.lines()):
            key = line["key"]
            self.assertEqual(line["id"], seen[key] * KEYS + int(key[1:]))
            seen[key] += 1
            self.assertEqual(line["seen"], seen[key])
            ids.append(line["id"])
        self.assertEqual(sorted(ids), list(range(count)))

    def checkpoint_at(self, count, *arguments):
        """A run that was stopped in order when it had processed so many."""
        self.write("in.jsonl", records(0, count))
        process = self.run_on(*arguments, follow=True)
        self.wait_until(process, lambda: len(self.lines()) == count)
        process.send_signal(signal.SIGTERM)
        self.assertIn(process.wait(), (0, -signal.SIGTERM, 128 + signal.SIGTERM))
        self.assertTrue(self.checkpoints())


class PlainCase(RecoveryTest):
    def test_a_worker_killed_between_two_checkpoints_loses_and_doubles_nothing(self):
        for before, after, threads in (("memory", "memory", 1), ("memory", "memory", 3), ("rocksdb", "rocksdb", 1),
                                       ("rocksdb", "rocksdb", 3), ("rocksdb", "memory", 2), ("memory", "rocksdb", 2)):
            with self.subTest(before=before, after=after, threads=threads):
                self.checkpoint_at(50, "-O", f"state={before}")
                self.write("in.jsonl", records(50, 75), "ab")
                process = self.run_on("-O", "checkpoint.interval_ms=3600000", "-c", threads, "-O", f"state={before}",
                                      follow=True)
                self.wait_until(process, lambda: len(self.lines()) == 75)
                process.kill()
                process.wait()
                self.write("in.jsonl", records(75, 100), "ab")
                self.assert_code(self.run_on("-c", 4 - threads, "-O", f"state={after}"), 0)
                self.assert_exactly_once(100)
                subprocess.run(["rm", "-r", "state", "out.jsonl"], cwd=self.folder, check=True)

    def test_a_finished_run_has_nothing_left_to_do(self):
        self.write("in.jsonl", records(0, 100))
        self.assert_code(self.run_on(), 0)
        self.assert_exactly_once(100)
        before = os.stat(self.folder / "out.jsonl")
        for threads in (1, 3):
            self.assert_code(self.run_on("-c", threads), 0)
            after = os.stat(self.folder / "out.jsonl")
            self.assertEqual((after.st_ino, after.st_size, after.st_mtime_ns),
                             (before.st_ino, before.st_size, before.st_mtime_ns))


class Kills(RecoveryTest):
    def crash(self, label, hit, threads, *arguments):
        """Records come until the worker has met its end."""
        process = self.run_on(*FAST, "-c", threads, *arguments, follow=True, crash=f"{label}:{hit}")
        while process.poll() is None:
            self.assertLess(self.written, 5000, f"{label} is not met {hit} times")
            self.write("in.jsonl", records(self.written, self.written + 5), "ab")
            self.written += 5
            try:
                process.wait(0.005)
            except subprocess.TimeoutExpired:
                pass
        self.assertEqual(process.returncode, -signal.SIGKILL)

    def begin(self):
        subprocess.run(["rm", "-rf", "state", "out.jsonl", "in.jsonl"], cwd=self.folder, check=True)
        self.written = 20
        self.write("in.jsonl", records(0, self.written))

    def finish(self, threads):
        self.write("in.jsonl", records(self.written, self.written + 20), "ab")
        self.assert_code(self.run_on("-c", threads), 0)
        self.assert_exactly_once(self.written + 20)
        # Nothing half is left of what was interrupted.
        for checkpoint in self.checkpoints():
            names = sorted(path.name for path in checkpoint.iterdir())
            self.assertEqual(names[0], "chunks")
            self.assertEqual(names[-1], "manifest")
            self.assertTrue(all(name.startswith("chunks-") for name in names[1:-1]), names)

    def test_at_every_step_of_a_checkpoint(self):
        for label in STEPS:
            for hit, threads in ((1, 1), (2, 3), (3, 1)):
                with self.subTest(label=label, hit=hit, threads=threads):
                    self.begin()
                    self.crash(label, hit, threads)
                    self.finish(4 - threads)

    def test_where_states_in_rocksdb_are_written(self):
        rocksdb = ["-O", "state=rocksdb"]
        for number, label in enumerate(ROWS):
            hits = ((1, 1), (2 + number % 2, 3))
            for hit, threads in hits if "SABOT_LONG" in os.environ else hits[number % 2:][:1]:
                with self.subTest(label=label, hit=hit, threads=threads):
                    self.begin()
                    self.crash(label, hit, threads, *rocksdb)
                    self.assert_code(self.run_on("-c", 4 - threads, *rocksdb), 0)
                    self.assert_exactly_once(self.written)
                    # Nothing is left but what the newest checkpoints are made of.
                    names = [path.name for path in (self.folder / "state/echo/repeat").iterdir()]
                    self.assertEqual([name for name in names if name.startswith(("live-", "reading-"))], [])

    def test_at_every_step_of_a_removal(self):
        for label in REMOVAL:
            for hit, threads in ((1, 1), (2, 3), (3, 1)):
                with self.subTest(label=label, hit=hit, threads=threads):
                    self.begin()
                    self.crash(label, hit, threads, "-O", "checkpoint.keep=1")
                    self.finish(4 - threads)

    def test_at_every_step_of_a_restore_again_and_again(self):
        self.begin()
        self.crash("ckpt.committed", 2, 3)
        for threads in (1, 3):
            for step in ("restore.owner_taken:1", "restore.manifest_read:1", "restore.tidying:1",
                         "restore.before_cut:1", "restore.shard:1", "restore.shard:2", "restore.shard:3"):
                with self.subTest(step=step, threads=threads):
                    done = self.run_on("-c", threads, crash=step)
                    self.assertEqual(done.code, -signal.SIGKILL, done.err)
        self.finish(2)

    def test_at_every_step_of_a_restore_with_rocksdb_again_and_again(self):
        self.begin()
        self.crash("ckpt.committed", 2, 3, "-O", "state=rocksdb")
        steps = {"rocksdb": ["restore.rows_put:1", "restore.rows_put:3", "restore.rows_started:1", "restore.shard:2"],
                 "memory": ["restore.rows_put:2", "restore.rows_read:1", "restore.shard:1", "restore.shard:3"]}
        for kept in ("rocksdb", "memory", "rocksdb"):
            for step in steps[kept]:
                with self.subTest(step=step, state=kept):
                    done = self.run_on("-c", 2, "-O", f"state={kept}", crash=step)
                    self.assertEqual(done.code, -signal.SIGKILL, done.err)
        self.write("in.jsonl", records(self.written, self.written + 20), "ab")
        self.assert_code(self.run_on("-c", 2, "-O", "state=memory"), 0)
        self.assert_exactly_once(self.written + 20)

    def test_one_after_the_other_on_the_same_state(self):
        self.begin()
        for number, label in enumerate(STEPS):
            self.crash(label, 1 + number % 2, 1 + number % 3)
        self.finish(1)


class Failures(RecoveryTest):
    def test_a_checkpoint_that_fails_is_made_up_for_though_nothing_comes_any_more(self):
        self.write("in.jsonl", records(0, 10))
        source = "file:in.jsonl?follow=true"
        process = self.start_echo("--state-dir", "state", "-O", "checkpoint.interval_ms=50", source=source,
                                  stderr=subprocess.PIPE)
        self.wait_until(process, self.complete)
        owner = self.folder / "state/echo/repeat/owner"
        os.link(owner, self.folder / "kept")
        (self.folder / "folder").symlink_to(".")
        (self.folder / "folder").replace(owner)  # at no time is it gone: that would be somebody's --reset
        self.write("in.jsonl", records(10, 20), "ab")
        self.read_until(process.stderr, "failed, nothing is lost")
        (self.folder / "kept").replace(owner)
        before = self.complete()
        self.wait_until(process, lambda: self.complete() != before)
        process.kill()
        process.wait()
        self.write("in.jsonl", records(20, 30), "ab")
        self.assert_code(self.run_on(), 0)
        self.assert_exactly_once(30)


class Refusals(RecoveryTest):
    def assert_refused(self, *parts, code=3):
        before = self.lines()
        done = self.run_on()
        self.assert_code(done, code)
        self.assert_in(parts, done.error)
        self.assertEqual(self.lines(), before)

    def test_a_damaged_checkpoint_is_refused_with_the_name_of_the_file(self):
        for name in ("chunks", "manifest"):
            self.checkpoint_at(50)
            path = self.checkpoints()[-1] / name
            whole = path.read_bytes()
            for damaged in (whole[:-1], whole + b"x", bytes([whole[0] ^ 1]) + whole[1:], b""):
                path.write_bytes(damaged)
                self.assert_refused(f"{self.checkpoints()[-1].name}/{name}", "--reset")
            path.write_bytes(whole)
            self.assert_code(self.run_on(), 0)
            self.assert_exactly_once(50)
            subprocess.run(["rm", "-r", "state", "out.jsonl"], cwd=self.folder, check=True)

    def test_a_damaged_database_is_refused_before_it_is_opened(self):
        self.checkpoint_at(50, "-O", "state=rocksdb")
        paths = sorted(self.checkpoints()[-1].glob("rows-*"))
        self.assertGreaterEqual(len(paths), 4)
        for path in paths:
            whole = path.read_bytes()
            for damaged in (whole[:-1], bytes([whole[0] ^ 1]) + whole[1:]):
                path.write_bytes(damaged)
                self.assert_refused(f"{path.parent.name}/{path.name}", "--reset")
            path.write_bytes(whole)
        paths[0].unlink()
        self.assert_refused(paths[0].name, "it is gone")

    def test_a_state_that_is_gone_is_refused(self):
        self.checkpoint_at(50)
        (self.checkpoints()[-1] / "chunks").unlink()
        self.assert_refused("/chunks", "--reset")

    def test_a_reset_moves_aside_and_begins_anew(self):
        self.checkpoint_at(50)
        path = self.checkpoints()[-1] / "manifest"
        path.write_bytes(b"damaged")
        self.assert_refused("manifest")
        self.assertEqual(self.run_on("--reset", crash="restore.resetting:1").code, -signal.SIGKILL)
        self.assert_refused("manifest")  # nothing has happened yet
        self.assert_code(self.run_on("--reset"), 0)
        self.assert_exactly_once(50)
        aside = list((self.folder / "state/echo").glob("repeat.reset-*"))
        self.assertEqual(len(aside), 1)
        self.assertEqual((aside[0] / path.parent.name / "manifest").read_bytes(), b"damaged")

    def test_an_input_that_became_shorter_is_refused(self):
        self.checkpoint_at(50)
        self.write("in.jsonl", records(0, 20))
        self.assert_refused("in.jsonl", "cut or replaced", code=2)

    def test_another_input_with_a_line_that_ends_there_is_refused(self):
        self.checkpoint_at(50)
        other = records(0, 60).replace(b'"id":0,', b'"id":9,')
        self.write("in.jsonl", other)
        self.assert_refused("in.jsonl", "first bytes", "replaced", "--reset", code=2)
        self.write("in.jsonl", records(0, 60).replace(b'"id":49,', b'"id":48,'))
        self.assert_refused("in.jsonl", "changed or replaced", code=2)

    def test_an_input_that_was_moved_away_and_copied_back_is_read_on(self):
        self.checkpoint_at(50)
        (self.folder / "in.jsonl").unlink()
        self.write("in.jsonl", records(0, 60))
        self.assert_code(self.run_on(), 0)
        self.assert_exactly_once(60)

    def test_another_input_is_refused(self):
        self.checkpoint_at(50)
        self.write("in.jsonl", b'{"id":0,"key":"another"}\n' * 100)
        self.assert_refused("in.jsonl", "changed or replaced", code=2)

    def test_an_output_that_became_shorter_is_refused(self):
        self.checkpoint_at(50)
        self.write("out.jsonl", "".join(f"{line}\n" for line in self.lines()[:-1]))
        self.assert_refused("out.jsonl")

    def test_what_stands_behind_the_checkpoint_is_cut(self):
        self.checkpoint_at(50)
        self.write("out.jsonl", b'{"half a rec', "ab")
        self.write("in.jsonl", records(50, 60), "ab")
        self.assert_code(self.run_on(), 0)
        self.assert_exactly_once(60)


if __name__ == "__main__":
    unittest.main()
