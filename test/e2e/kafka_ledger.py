#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exactly once, shown: transfers are booked while workers, broker and offsets come to harm, and each is booked once.

A schedule is one ledger (_ledger.py) and what happens to it. All schedules have a broker in common, which is this
test's own. SABOT_LEDGER_SEED=N repeats a run, SABOT_LEDGER_ONLY=TEXT takes the schedules with TEXT in their name, and
SABOT_LONG=1 runs more than 300.
"""
import concurrent.futures
import os
import random
import signal
import subprocess
import sys
import time
import unittest

from _ledger import Bank, Ledger, TooFast, Transfers, Wrong, check

SEED = int(os.environ.get("SABOT_LEDGER_SEED") or random.SystemRandom().randrange(1 << 32))
LONG = os.environ.get("SABOT_LONG") == "1"
ONLY = os.environ.get("SABOT_LEDGER_ONLY", "")
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
AT_ONCE = 4  # schedules beside each other: they wait for the broker and the disk most of the time

# In the order in which a checkpoint meets them.
RUNNING = """
    txn.before_fence txn.fenced txn.offsets_read restore.owner_written restore.owner_taken
    source.polled sink.written
    ckpt.barrier source.reported source.barrier_sent task.before_snapshot task.snapshot sink.barrier ckpt.gathered
    ckpt.before_write ckpt.folder_made ckpt.state_written ckpt.state_synced ckpt.manifest_written
    ckpt.manifest_synced ckpt.manifest_renamed ckpt.folder_synced ckpt.durable
    txn.before_begin txn.in_begin txn.begun txn.before_offsets txn.in_offsets txn.offsets_sent
    txn.before_produce txn.producing txn.in_produce txn.produced txn.before_commit txn.in_commit txn.committed
    ckpt.committed ckpt.before_remove ckpt.remove_manifest_gone ckpt.removed ckpt.complete
""".split()
# Met once in a process.
ONCE = {"txn.before_fence", "txn.fenced", "txn.offsets_read", "restore.owner_written", "restore.owner_taken"}
# In the order in which a worker meets them that goes on from a checkpoint.
RESTORING = """
    txn.before_fence txn.fenced txn.offsets_read restore.owner_written restore.owner_taken restore.manifest_read
    restore.verified restore.tidying restore.matched restore.shard restore.complete
""".split()
# Met often in one recovery.
MANY = {"restore.shard"}


class Schedule:
    """A name, what happens, and the chance it draws from."""

    def __init__(self, name, act, **options):
        self.name, self.act, self.options = name, act, options
        self.chance = random.Random(f"{SEED} {name}")

    def run(self, bank):
        """None, or what went wrong. What was over too soon is tried again with slower workers."""
        try:
            return self.run_once(bank, self.name, 2)
        except TooFast:
            return self.run_once(bank, f"{self.name}-slow", 20)

    def run_once(self, bank, name, pause_ms):
        options = {"threads": self.chance.choice((1, 2, 2, 3)), "partitions": self.chance.choice((1, 1, 3)),
                   "options": ["-O", f"checkpoint.keep={self.chance.choice((1, 1, 3))}"], **self.options}
        ledger = Ledger(bank, name, pause_ms=pause_ms, **options)
        try:
            self.act(ledger, self.chance)
            ledger.check()
        except TooFast:
            if pause_ms > 2:
                return f"schedule {name}: it is over too soon\n" + "\n".join(ledger.runs)
            raise
        except (Wrong, subprocess.SubprocessError) as error:
            return f"schedule {self.name}, SABOT_LEDGER_SEED={SEED}: {error}\n" + "\n".join(ledger.runs)
        finally:
            ledger.end()
        return None


class Exactly(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print(f"SABOT_LEDGER_SEED={SEED}", file=sys.stderr, flush=True)
        cls.bank = Bank(Transfers(SEED))
        cls.bank.__enter__()
        cls.addClassCleanup(cls.bank.__exit__)

    def run_schedules(self, schedules, at_once=AT_ONCE):
        schedules = [each for each in schedules if ONLY in each.name]
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            failures = [failure for failure in pool.map(lambda each: each.run(self.bank), schedules) if failure]
        print(f"{self.id().split('.')[-1]}: {len(schedules)} schedules, {len(failures)} failed, "
              f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        self.assertFalse(failures, "\n\n".join(failures[:5]))

    # --- Killed at each step ------------------------------------------------------------------------

    def test_killed_at_each_step_of_a_checkpoint(self):
        def act_at(point):
            def act(ledger, _):
                ledger.crash(point)
                ledger.run()
            return act

        chance = random.Random(SEED)
        schedules = []
        for label in RUNNING:
            hits = [1] if label in ONCE else [1, 2, 3, 4, 5, 6, 8] if LONG else [1, chance.randint(2, 4)]
            for hit in hits:
                options = {"options": ["-O", "checkpoint.keep=1"]} if "remove" in label else {}
                schedules.append(Schedule(f"{label}-{hit}", act_at(f"{label}:{hit}"), **options))
        self.run_schedules(schedules)

    def test_killed_at_each_step_of_a_recovery(self):
        def act_at(label, times):
            def act(ledger, chance):
                ledger.crash(f"ckpt.complete:{chance.randint(2, 3)}")
                for _ in range(times):
                    ledger.crash(f"{label}:1" if label not in MANY else f"{label}:{chance.randint(1, 9)}")
                ledger.run()
            return act

        self.run_schedules([Schedule(f"again-{label}-{times}", act_at(label, times))
                            for label in RESTORING for times in ((1, 2, 5) if LONG else (1, 5))])

    # --- Workers ------------------------------------------------------------------------------------

    def test_a_worker_is_told_to_stop_again_and_again(self):
        def act(ledger, chance):
            for _ in range(3):
                worker = ledger.start()
                ledger.wait_for_entries(worker, chance.randint(1, 300))
                worker.send_signal(signal.SIGTERM)
                ledger.finish(worker, (0,), "the worker that was told to stop")
            ledger.run()

        self.run_schedules([Schedule(f"term-{i}", act) for i in range(20 if LONG else 6)])

    def test_a_worker_is_killed_at_any_time(self):
        def act(ledger, chance):
            for _ in range(3):
                worker = ledger.start()
                ledger.wait_for_entries(worker, chance.randint(0, 300))
                worker.kill()
                ledger.finish(worker, (-signal.SIGKILL, 0), "the worker that was killed")
            ledger.run()

        self.run_schedules([Schedule(f"kill9-{i}", act) for i in range(40 if LONG else 6)])

    def test_a_frozen_twin_that_wakes_up_harms_nobody(self):
        def act(ledger, chance):
            frozen = ledger.start()
            ledger.wait_for_entries(frozen, chance.randint(1, 400))
            frozen.send_signal(signal.SIGSTOP)
            if chance.random() < 0.5:
                ledger.run()
                frozen.send_signal(signal.SIGCONT)
                ledger.finish(frozen, (3,), "the frozen worker")
                return
            successor = ledger.start()
            ledger.wait_for_entries(successor, 1)
            frozen.send_signal(signal.SIGCONT)
            ledger.finish(frozen, (3,), "the frozen worker")
            ledger.finish(successor, (0,), "the worker that had taken over")

        self.run_schedules([Schedule(f"twin-{i}", act) for i in range(20 if LONG else 6)])

    # --- Offsets ------------------------------------------------------------------------------------

    def change_offsets(self, name, change):
        """A worker finds that its offsets are not as it left them: it stops, says why, and --reset begins anew."""
        ledger = Ledger(self.bank, name)
        try:
            ledger.crash("ckpt.complete:3")
            change(ledger)
            done = ledger.run(codes=(3,))
            self.assertIn("--reset", done.error)
            before = len(ledger.entries())
            ledger.run("--reset")
            check(self.bank.transfers, ledger.entries()[before:])
        finally:
            ledger.end()

    def test_offsets_that_were_deleted_are_noticed(self):
        self.change_offsets("deleted", lambda ledger: self.bank.tool(
            GROUPS, "--delete", "--group", ledger.group))

    def test_offsets_that_were_reset_are_noticed(self):
        self.change_offsets("reset", lambda ledger: self.bank.tool(
            GROUPS, "--reset-offsets", "--to-earliest", "--all-topics", "--execute", "--group", ledger.group))

    def test_offsets_of_one_partition_that_were_deleted_are_noticed(self):
        self.change_offsets("one", lambda ledger: self.bank.tool(
            GROUPS, "--delete-offsets", "--topic", f"{self.bank.topic}:0", "--group", ledger.group))


if __name__ == "__main__":
    unittest.main()
