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
import select
import signal
import subprocess
import sys
import time
import unittest

from _ledger import TXN_TIMEOUT_MAX_MS, Bank, Ledger, TooFast, Transfers, Wrong, check, go_on

SEED = int(os.environ.get("SABOT_LEDGER_SEED") or random.SystemRandom().randrange(1 << 32))
LONG = os.environ.get("SABOT_LONG") == "1"
ONLY = os.environ.get("SABOT_LEDGER_ONLY", "")
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--timeout", "60000"  # of a busy machine
OTHER_CLUSTER = os.environ.get("SABOT_TEST_BROKER", "localhost:9092")  # not that of the bank
TXN_TIMEOUT_S = 10  # of Sabot's transactions
AT_ONCE = 4  # schedules beside each other: they wait for the broker and the disk most of the time

# In the order in which a checkpoint meets them.
RUNNING = """
    txn.before_fence txn.fenced txn.offsets_read restore.owner_written restore.owner_taken
    source.polled sink.written
    ckpt.barrier source.reported source.barrier_sent task.before_snapshot task.image_begun task.snapshot sink.barrier
    ckpt.folder_made ckpt.chunks_appended task.image_done ckpt.gathered
    ckpt.before_write ckpt.linked ckpt.chunks_written ckpt.chunks_synced ckpt.manifest_written
    ckpt.manifest_synced ckpt.manifest_renamed ckpt.folder_synced ckpt.durable
    txn.before_begin txn.in_begin txn.begun txn.before_offsets txn.in_offsets txn.offsets_sent
    txn.before_produce txn.producing txn.in_produce txn.produced txn.before_commit txn.in_commit txn.committed
    ckpt.committed ckpt.before_remove ckpt.remove_manifest_gone ckpt.removed ckpt.complete
""".split()
# With states in RocksDB: of a checkpoint, and of going on from one.
ROWS = """
    ckpt.rows_asked ckpt.rows_flushed ckpt.rows_staged ckpt.rows_thawed ckpt.rows_linked ckpt.rows_hashed
    ckpt.rows_copied ckpt.rows_taken ckpt.durable txn.committed
""".split()
ROWS_RESTORING = ["restore.rows_put", "restore.rows_started"]
# Met once in a process.
ONCE = {"txn.before_fence", "txn.fenced", "txn.offsets_read", "restore.owner_written", "restore.owner_taken"}
# Where a transaction is in each of its states.
FREEZING = ["txn.before_begin", "txn.begun", "txn.offsets_sent", "txn.produced", "txn.in_commit", "txn.committed"]
# In the order in which a worker meets them that goes on from a checkpoint.
RESTORING = """
    txn.before_fence txn.fenced txn.offsets_read restore.owner_written restore.owner_taken restore.manifest_read
    restore.verified restore.matched restore.shard restore.complete
""".split()
# Met when a broker refuses what a transaction writes, and when it can't be mended by sending it again.
ABORTING = ["txn.before_abort", "txn.in_abort", "txn.aborted", "txn.lost"]
# Met often in one recovery.
MANY = {"restore.shard"}


def wait_s(seconds):
    """A time that must pass, because the broker measures it."""
    select.select([], [], [], seconds)


def report(ledgers):
    """What the workers of failed ledgers said, and what they leave behind."""
    for ledger in ledgers:
        ledger.end()
    return "\n".join(text for ledger in ledgers for text in [*ledger.runs, ledger.keep()])


class Schedule:
    """A name, what happens, and the chance it draws from."""

    def __init__(self, name, act, pause_ms=2, **options):
        self.name, self.act, self.pause_ms, self.options = name, act, pause_ms, options
        self.chance = random.Random(f"{SEED} {name}")

    def run(self, bank):
        """None, or what went wrong. What was over too soon is tried again by a slower worker with one thread: fewer
        records lie before its barriers, so that it has more checkpoints."""
        try:
            return self.run_once(bank, self.name, self.pause_ms)
        except TooFast:
            return self.run_once(bank, f"{self.name}-slow", 2 * self.pause_ms + 1, threads=1)

    def run_once(self, bank, name, pause_ms, **more):
        options = {"threads": self.chance.choice((1, 2, 2, 3)), "partitions": self.chance.choice((1, 1, 3)),
                   "options": ["-O", f"checkpoint.keep={self.chance.choice((1, 1, 3))}"], **self.options, **more}
        ledger = Ledger(bank, name, pause_ms=pause_ms, **options)
        try:
            self.act(ledger, self.chance)
            ledger.check()
        except TooFast:
            if more:
                return f"schedule {name}: it is over too soon\n" + "\n".join(ledger.runs)
            raise
        except (Wrong, subprocess.SubprocessError) as error:
            return f"schedule {self.name}, SABOT_LEDGER_SEED={SEED}: {error}\n" + report([ledger])
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
            hits = [1] if label in ONCE else [1, 2, 3, 4, 5] if LONG else [1, chance.randint(2, 4)]
            for hit in hits:
                options = {"options": ["-O", "checkpoint.keep=1"]} if "remove" in label else {}
                schedules.append(Schedule(f"{label}-{hit}", act_at(f"{label}:{hit}"), **options))
        self.run_schedules(schedules)

    def test_killed_where_states_in_rocksdb_are_kept(self):
        def act_at(*points):
            def act(ledger, _):
                for point in points:
                    ledger.crash(point)
                ledger.run()
            return act

        chance = random.Random(SEED)
        options = {"options": ["-O", "state=rocksdb", "-O", "checkpoint.keep=1"]}
        schedules = [Schedule(f"rocksdb-{label}-{hit}", act_at(f"{label}:{hit}"), **options)
                     for label in ROWS for hit in ((1, 2, 3, 4) if LONG else (chance.randint(1, 3),))]
        for label in ROWS_RESTORING:
            points = "ckpt.complete:2", f"{label}:1", f"{label}:1"
            schedules.append(Schedule(f"rocksdb-again-{label}", act_at(*points), **options))
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

    def limit_topic(self, name, *change):
        """Give a topic another limit, or its own again, behind the worker's back."""
        self.bank.tool("kafka.admin.ConfigCommand", "--alter", "--entity-type", "topics", "--entity-name", name,
                       *change)

    def test_killed_at_each_step_of_a_transaction_that_the_broker_refuses(self):
        """The topic takes no batch of several records any more. Such a transaction is aborted and sent again a few
        times, and then the worker begins anew: that one asks for the limit, and makes its batches smaller."""
        def act_at(label):
            def act(ledger, chance):
                # Frozen where no transaction is open: the tool may take as long as it likes.
                worker = ledger.freeze(f"ckpt.barrier:{chance.randint(2, 4)}", crash=f"{label}:1" if label else "")
                self.limit_topic(ledger.name, "--add-config", "max.message.bytes=400")
                go_on(worker)
                done = ledger.finish(worker, (-signal.SIGKILL, 0) if label else (0,), f"the worker with {label}:1")
                if not label and "going on from the last checkpoint" not in done.err:
                    raise TooFast("nothing was refused")
                if label and done.code == 0:
                    raise TooFast(f"{label} was never met")
                ledger.run()
            return act

        self.run_schedules([Schedule(f"refused-{label or 'mended'}-{turn}", act_at(label))
                            for label in ["", *ABORTING] for turn in range(3 if LONG else 1)])

    # --- The broker ---------------------------------------------------------------------------------

    def break_broker(self, count, name, act, **options):
        """Ledgers beside each other; when each of them has booked something, the broker they share comes to harm."""
        chance = random.Random(f"{SEED} {name}")
        ledgers = [Ledger(self.bank, f"{name}-{i}", threads=chance.choice((1, 2)), partitions=chance.choice((1, 3)),
                          pause_ms=5, **options) for i in range(count)]
        anew = 0
        try:
            workers = [ledger.start() for ledger in ledgers]
            for ledger, worker in zip(ledgers, workers):
                ledger.wait_for_entries(worker, chance.randint(1, 120))
            act()
            for ledger, worker in zip(ledgers, workers):
                anew += "going on from the last checkpoint" in ledger.finish(worker).err
                ledger.check()
            print(f"{name}: {count} schedules, {anew} workers went on from their checkpoint", file=sys.stderr)
        except (Wrong, subprocess.SubprocessError) as error:
            self.fail(f"{name}, SABOT_LEDGER_SEED={SEED}: {error}\n" + report(ledgers))
        finally:
            for ledger in ledgers:
                ledger.end()

    def test_the_broker_is_killed_and_restarted(self):
        def act():
            self.bank.broker.kill()
            self.bank.broker.restart()

        for turn in range(4 if LONG else 1):
            self.break_broker(6, f"broker-kill-{turn}", act)

    def test_the_broker_stops_for_longer_than_a_transaction_may_take(self):
        def act():
            self.bank.broker.pause()
            wait_s(TXN_TIMEOUT_S + 2)
            self.bank.broker.resume()

        for turn in range(2 if LONG else 1):
            self.break_broker(6, f"broker-pause-{turn}", act)

    def test_a_stop_does_not_wait_for_ever_for_a_broker_that_hangs(self):
        """It waits as long as a transaction may take. The next start finds out whether that was committed."""
        chance = random.Random(SEED)
        ledgers = [Ledger(self.bank, f"hung-{i}", threads=chance.choice((1, 2)), partitions=chance.choice((1, 3)),
                          pause_ms=50) for i in range(4)]
        try:
            workers = [ledger.start() for ledger in ledgers]
            for ledger, worker in zip(ledgers, workers):
                ledger.wait_for_entries(worker, chance.randint(1, 120))
            self.bank.broker.pause()
            try:
                for worker in workers[1:]:
                    worker.send_signal(signal.SIGTERM)
                told = ledgers[0].sabot("savepoint", "create", "saved", "--stop")
                self.assertEqual(told.code, 1, told.err)
                for ledger, worker in zip(ledgers, workers):
                    done = ledger.finish(worker, (1,), "the worker that was told to stop")
                    self.assertRegex(done.error, r"told to stop, but the commit of checkpoint \d+, with \d+ bytes")
            finally:
                self.bank.broker.resume()
            for ledger in ledgers:
                ledger.run()
                ledger.check()
        except (Wrong, subprocess.SubprocessError) as error:
            self.fail(f"SABOT_LEDGER_SEED={SEED}: {error}\n" + report(ledgers))
        finally:
            for ledger in ledgers:
                ledger.end()

    # --- Workers ------------------------------------------------------------------------------------

    def test_a_worker_freezes_for_longer_than_its_transaction_may_take(self):
        """The broker gives the transaction up; the worker reads what was committed, and goes on from there."""
        ledgers = [Ledger(self.bank, f"frozen-{label}") for label in FREEZING]
        try:
            workers = [ledger.freeze(f"{label}:2") for label, ledger in zip(FREEZING, ledgers)]
            wait_s(TXN_TIMEOUT_S + 2)
            for ledger, worker in zip(ledgers, workers):
                go_on(worker)
                anew = "going on from the last checkpoint" in ledger.finish(worker).err
                print(f"{ledger.name}: {'anew' if anew else 'went on'}", file=sys.stderr)
                ledger.check()
        except (Wrong, subprocess.SubprocessError) as error:
            self.fail(f"SABOT_LEDGER_SEED={SEED}: {error}\n" + report(ledgers))
        finally:
            for ledger in ledgers:
                ledger.end()

    def test_a_transaction_may_take_as_long_as_commits_have_taken_within_what_the_broker_allows(self):
        """A commit that takes 1.5 s, and what the broker is told by the next run. On a machine so busy that the
        transaction was given up, a faster run came between."""
        ledgers = [Ledger(self.bank, "slow")]
        ledger = ledgers[0]
        try:
            worker = ledger.freeze("txn.offsets_sent:2")
            wait_s(1.5)
            go_on(worker)
            done = ledger.finish(worker)
            took_ms = ledger.slowest_commit_ms()
            if "going on from the last checkpoint" not in done.err:
                self.assertGreaterEqual(took_ms, 1500)
            ledger.run()  # there is nothing to do, but it fences
            self.assertEqual(ledger.timeout_ms(), min(1000 * TXN_TIMEOUT_S + took_ms, TXN_TIMEOUT_MAX_MS))
            ledger.hint.write_text(f"{TXN_TIMEOUT_MAX_MS - 5000}\n")
            ledger.run()
            self.assertEqual(ledger.timeout_ms(), TXN_TIMEOUT_MAX_MS)
            ledger.check()
        except (Wrong, subprocess.SubprocessError) as error:
            self.fail(f"SABOT_LEDGER_SEED={SEED}: {error}\n" + report(ledgers))
        finally:
            for ledger in ledgers:
                ledger.end()

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
        def act_at(label):
            def act(ledger, chance):
                frozen = ledger.freeze(f"{label}:{chance.randint(1, 3)}")
                successor = ledger.start(fast=chance.random() < 0.5)
                ledger.wait_for_entries(successor)
                go_on(frozen)
                ledger.finish(frozen, (3,), "the frozen worker")
                ledger.finish(successor, (0,), "the worker that had taken over")
            return act

        labels = RUNNING if LONG else FREEZING + ["ckpt.before_write", "ckpt.durable", "ckpt.remove_manifest_gone"]
        self.run_schedules([Schedule(f"twin-{label}", act_at(label), options=["-O", "checkpoint.keep=1"])
                            for label in labels if label not in ONCE])

    # --- Two clusters -------------------------------------------------------------------------------

    def test_an_output_in_another_cluster_is_refused_or_written_at_least_once(self):
        ledger = Ledger(self.bank, f"elsewhere-{os.getpid()}", address=OTHER_CLUSTER)
        try:
            refused = ledger.run(codes=(2,))
            for part in ("channel transfers is in cluster", "channel entries in", "-O guarantee=at-least-once"):
                self.assertIn(part, refused.error)
            ledger.options += ["-O", "guarantee=at-least-once"]
            ledger.crash("ckpt.complete:3")
            done = ledger.run()
            self.assertRegex(done.err, r"goes on from checkpoint \d+, \d+\.\d s old")
            booked = {(entry["id"], entry["account"], entry["amount"]) for _, _, entry in ledger.entries()}
            self.assertEqual(booked, set(self.bank.transfers.legs))
        finally:
            ledger.end()

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
            ledger.finish(ledger.start("--reset", crash="restore.moved_aside:1"), (-signal.SIGKILL,))
            ledger.run("--reset")
            check(self.bank.transfers, ledger.entries()[before:])
        finally:
            ledger.end()

    def test_offsets_that_were_deleted_are_noticed(self):
        self.change_offsets("deleted", lambda ledger: self.bank.tool(
            *GROUPS, "--delete", "--group", ledger.group))

    def test_offsets_that_were_reset_are_noticed(self):
        self.change_offsets("reset", lambda ledger: self.bank.tool(
            *GROUPS, "--reset-offsets", "--to-earliest", "--all-topics", "--execute", "--group", ledger.group))

    def test_offsets_of_one_partition_that_were_deleted_are_noticed(self):
        self.change_offsets("one", lambda ledger: self.bank.tool(
            *GROUPS, "--delete-offsets", "--topic", f"{self.bank.topic}:0", "--group", ledger.group))


if __name__ == "__main__":
    unittest.main()
