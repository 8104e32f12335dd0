#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of RocksDB: looked at and verified as those of memory are, gone on from by the next version of the app,
and refused where they don't belong."""
import json
import shutil
import signal
import unittest

from savepoint import KEYS, SavepointTest, records

ROCKSDB = ["-O", "state=rocksdb", "-O", "memory=16MiB"]
COUNT, MORE = 100, 200


class RocksdbCheckpoint(SavepointTest):
    def setUp(self):
        super().setUp()
        if not self.has_rocksdb():
            self.skipTest("built without RocksDB")

    def stop_at(self, count, *arguments, state="state", out="out.jsonl"):
        """A worker that was stopped when it had processed so many; its last checkpoint is of just then."""
        self.write("in.jsonl", records(0, count))
        process = self.begin(*arguments, state=state, out=out)
        self.wait_for(process, count, out)
        process.send_signal(signal.SIGTERM)
        self.assertIn(process.wait(), (0, -signal.SIGTERM, 128 + signal.SIGTERM))

    def checkpoints(self):
        return sorted((self.folder / "state/versions/count").glob("ckpt-*"))

    # --- Looked at ---

    def ask(self, *arguments, state, code=0):
        done = self.sabot(*arguments, "--state-dir", state)
        self.assert_code(done, code)
        return done

    def test_a_checkpoint_shows_the_same_state_as_one_of_memory(self):
        self.stop_at(COUNT, "-c", 3, *ROCKSDB)
        self.stop_at(COUNT, "-c", 2, state="memory", out="memory.jsonl")
        shown = []
        for state in ("state", "memory"):
            got = self.ask("state", "get", "count", "tally", "k1", "--json", state=state)
            self.assertEqual(json.loads(got.out)["value"], {"seen": 15, "total": sum(range(1, COUNT, KEYS))})
            self.ask("state", "get", "count", "tally", "k9", state=state, code=1)
            listed = map(json.loads, self.ask("state", "ls", "--json", state=state).out.splitlines())
            dump = self.ask("state", "dump", "--json", state=state).out.splitlines()
            shown.append(([(row["agent"], row["state"], row["kind"], row["keys"]) for row in listed], sorted(dump)))
        self.assertEqual(shown[0], shown[1])
        self.assertGreater(len(shown[0][1]), 3 * KEYS)

    def test_checkpoints_are_listed_and_verified_with_their_database(self):
        self.stop_at(COUNT, *ROCKSDB)
        newest = self.checkpoints()[-1]
        listed = json.loads(self.ask("checkpoint", "ls", "--json", state="state").out.splitlines()[0])
        files = [path for path in newest.iterdir() if path.name != "manifest"]
        self.assertEqual(listed["bytes"], sum(path.stat().st_size for path in files))
        self.ask("checkpoint", "verify", state="state")
        for path in sorted(newest.glob("rows-*")):
            whole = path.read_bytes()
            path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            self.assert_in([f"{newest.name}/{path.name}"], self.ask("checkpoint", "verify", state="state", code=3).err)
            path.write_bytes(whole)
        self.ask("checkpoint", "verify", state="state")

    # --- Gone on from by another version ---

    def copy(self, source, target):
        """What a worker goes on from: its checkpoints, and its outputs."""
        shutil.rmtree(target / "state", ignore_errors=True)
        shutil.copytree(source / "state", target / "state")
        for out in ("out.jsonl", "watched-out.jsonl"):
            shutil.copy(source / out, target / out)

    def stop_and_keep(self):
        self.stop_at(COUNT, *ROCKSDB)
        self.write("in.jsonl", records(COUNT, MORE), "ab")
        self.copy(self.folder, self.folder / "kept")

    def go_on(self, version, *arguments, code=0):
        self.copy(self.folder / "kept", self.folder)
        done = self.run_on(*arguments, version=version)
        self.assert_code(done, code)
        return done

    def new(self):
        lines = [line for line in self.lines() if not line["fired"] and line["id"] >= COUNT]
        self.assertEqual(sorted((line["id"], line["seen"]) for line in lines),
                         [(i, i // KEYS + 1) for i in range(COUNT, MORE)])
        return lines

    def test_fields_that_were_added_or_removed(self):
        self.stop_and_keep()
        for options in (ROCKSDB, ["-c", 3, *ROCKSDB], ["-O", "state=memory"]):
            self.go_on(2, *options)
            self.assertEqual({line["bonus"] for line in self.new()}, {7})
            self.go_on(3, *options)
            self.new()

    def test_a_field_of_another_type_or_a_table_of_the_same_version_is_refused(self):
        self.stop_and_keep()
        for options in (ROCKSDB, ["-O", "state=memory"]):
            self.assert_in(["tally", "seen", "float64"], self.go_on(4, *options, code=3).error)
            self.assert_in(["tally", "version"], self.go_on(8, *options, code=3).error)

    def test_a_state_that_is_gone_is_dropped_when_told(self):
        self.stop_and_keep()
        self.assert_in(["list", "count", "--drop-state"], self.go_on(5, *ROCKSDB, code=3).error)
        self.go_on(5, *ROCKSDB, "--drop-state")
        self.assertEqual({line["listed"] for line in self.new()}, {0})

    # --- Where they do not belong ---

    def assert_refused(self, *parts):
        before = self.read("out.jsonl")
        done = self.run_on(*ROCKSDB)
        self.assert_code(done, 3)
        self.assert_in(parts, done.error)
        self.assertEqual(self.read("out.jsonl"), before)

    def test_what_belongs_to_another_checkpoint_pipeline_or_app_is_refused(self):
        self.stop_at(COUNT, "-O", "checkpoint.keep=2", *ROCKSDB)
        self.write("in.jsonl", records(COUNT, MORE), "ab")
        self.assert_code(self.run_on("-O", "checkpoint.keep=2", *ROCKSDB), 0)
        older, newest = self.checkpoints()[-2:]
        self.write("in.jsonl", records(MORE, MORE + 10), "ab")
        # A file of the database that is an older checkpoint's, under the name of a newer one's.
        own = [path for path in sorted(newest.glob("rows-*.sst")) if not (older / path.name).exists()][0]
        whole = own.read_bytes()
        shutil.copy(sorted(older.glob("rows-*.sst"))[0], own)
        self.assert_refused(f"{newest.name}/{own.name}", "--reset")
        own.write_bytes(whole)
        # All of an older one, under the name of a newer one.
        shutil.move(newest, self.folder / "aside")
        shutil.copytree(older, newest)
        self.assert_refused(f"{newest.name}/manifest", "of checkpoint", "--reset")
        shutil.rmtree(newest)
        shutil.move(self.folder / "aside", newest)
        # Those of another pipeline, and of another app.
        for place, part in (("state/versions/strange", "not to strange"), ("state/strangers/count", "of strangers")):
            shutil.copytree(newest.parent, self.folder / place)
            self.assert_in([part, "manifest"], self.sabot("checkpoint", "verify", "--state-dir", "state").err)
            shutil.rmtree(self.folder / place)
        self.assert_code(self.run_on(*ROCKSDB), 0)


if __name__ == "__main__":
    unittest.main()
