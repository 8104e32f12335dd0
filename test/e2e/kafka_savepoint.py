#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Savepoints and the other choices where to go on, on a real broker: what is chosen becomes what is committed, before
anything is processed behind it. The ledger of _ledger.py decides: each transfer is booked once.

SABOT_LEDGER_SEED=N repeats the transfers of a run.
"""
import collections
import os
import random
import signal
import sys
import unittest

from _ledger import Bank, Ledger, Transfers, Wrong

SEED = int(os.environ.get("SABOT_LEDGER_SEED") or random.SystemRandom().randrange(1 << 32))
ADOPTING = ["restore.folder_made", "restore.file_copied", "ckpt.manifest_renamed", "restore.copied",
            "restore.before_adopting", "txn.before_begin", "txn.offsets_sent", "txn.before_commit", "txn.committed",
            "restore.adopted", "restore.matched", "restore.shard", "restore.complete"]


class Choices(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print(f"SABOT_LEDGER_SEED={SEED}", file=sys.stderr, flush=True)
        cls.bank = Bank(Transfers(SEED, count=1000))
        cls.bank.__enter__()
        cls.addClassCleanup(cls.bank.__exit__)

    def ledger(self, **options):
        ledger = Ledger(self.bank, self.id().split(".")[-1].replace("_", "-"), threads=2, pause_ms=10, **options)
        self.addCleanup(ledger.end)
        return ledger

    def halfway(self, **options):
        """A ledger, and its worker that goes on: there are no more transfers than half of them yet, so that it is in
        the middle however long what comes next may take."""
        ledger = self.ledger(topic=f"half-{self.id().split('.')[-1]}", **options)
        self.send(ledger, 0, 500)
        worker = ledger.start("-O", "until.end=false")
        ledger.wait_for_entries(worker, 100)
        return ledger, worker

    def send(self, ledger, first, end=None):
        self.bank.send(ledger.topic, self.bank.transfers.lines(first, end))

    def sabot(self, ledger, *arguments):
        done = ledger.sabot(*arguments)
        self.assertEqual(done.code, 0, done.err)

    def stopped(self, **options):
        """A ledger whose worker was stopped in the middle, with a savepoint."""
        ledger, worker = self.halfway(**options)
        self.sabot(ledger, "savepoint", "create", "saved", "--stop")
        ledger.finish(worker)
        self.send(ledger, 500)
        return ledger

    def test_a_savepoint_with_stop_is_gone_on_from(self):
        ledger = self.stopped()
        ledger.run("--restore", "./saved")
        ledger.check()
        # The same words again: it goes on, and there is nothing.
        self.assertIn("was restored before", ledger.run("--restore", "./saved").err)
        ledger.check()

    def test_also_where_there_are_no_checkpoints(self):
        ledger = self.stopped(partitions=3)
        (ledger.folder / "state").rename(ledger.folder / "lost")
        refused = ledger.run(codes=(3,))
        self.assertIn("--reset", refused.error)
        ledger.threads = 4
        ledger.run("--restore", "./saved", "-O", "state=memory")
        ledger.check()

    def test_a_restore_that_is_killed_at_each_step(self):
        ledger = self.stopped()
        for label in ADOPTING:
            worker = ledger.start("--restore", "./saved", "--force", crash=f"{label}:1")
            ledger.finish(worker, (-signal.SIGKILL,), f"killed at {label}")
        ledger.run("--restore", "./saved")
        ledger.check()

    def test_a_savepoint_from_before_needs_force_and_repeats_what_came_since(self):
        ledger, worker = self.halfway()
        self.sabot(ledger, "savepoint", "create", "saved")
        worker.send_signal(signal.SIGTERM)
        ledger.finish(worker)
        self.send(ledger, 500)
        ledger.run()
        ledger.check()
        refused = ledger.run("--restore", "./saved", codes=(3,))
        for part in ("--force", "read again", "transfers, partition"):
            self.assertIn(part, refused.error)
        ledger.run()  # nothing was done to it
        ledger.check()
        ledger.run("--restore", "./saved", "--force")
        booked = collections.Counter((entry["id"], entry["account"], entry["amount"])
                                     for _, _, entry in ledger.entries())
        self.assertEqual(set(booked), set(self.bank.transfers.legs))
        self.assertEqual(set(booked.values()), {1, 2})

    def test_another_checkpoint_that_is_kept(self):
        ledger = self.ledger(options=["-O", "checkpoint.keep=5"])
        ledger.crash("ckpt.complete:4")
        kept = sorted(int(path.name[5:21], 16) for path in ledger.folder.glob("state/*/*/ckpt-*"))
        self.assertIn("--force", ledger.run("--restore", str(kept[0]), codes=(3,)).error)
        before = len(ledger.entries())
        ledger.run("--restore", str(kept[0]), "--force")
        booked = collections.Counter((entry["id"], entry["account"], entry["amount"])
                                     for _, _, entry in ledger.entries())
        self.assertEqual(set(booked), set(self.bank.transfers.legs))
        self.assertGreaterEqual(sum(booked.values()) + before, 2000)

    def test_the_offsets_alone(self):
        ledger = self.ledger()
        ledger.crash("ckpt.complete:4")
        (ledger.folder / "state").rename(ledger.folder / "lost")
        refused = ledger.run(codes=(3,))
        self.assertIn("--from-offsets", refused.error)
        for label in ("restore.before_adopting", "txn.before_commit", "restore.adopted"):
            worker = ledger.start("--from-offsets", crash=f"{label}:1")
            ledger.finish(worker, (-signal.SIGKILL,), f"killed at {label}")
        ledger.run("--from-offsets")
        # Balances have begun anew, but each transfer is booked once.
        booked = collections.Counter((entry["id"], entry["account"], entry["amount"])
                                     for _, _, entry in ledger.entries())
        if booked != collections.Counter(self.bank.transfers.legs):
            raise Wrong("a transfer is booked twice, or not at all")


if __name__ == "__main__":
    unittest.main()
