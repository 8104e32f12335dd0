# SPDX-License-Identifier: Apache-2.0
"""Transfers between accounts, workers that book them, and the oracle that reads what they have booked.

A ledger is one pipeline of its own: a group, an output topic, a state directory. Many of them share one broker and one
topic of transfers, and run beside each other.
"""
import collections
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from _command import SABOT, SOURCE, Done, clean_environment, compile_app

sys.path.insert(0, str(pathlib.Path(SOURCE) / "test/kafka"))
import broker as kafka  # noqa: E402

TXN_TIMEOUT_MAX_MS = 60000  # Sabot asks for 10 s and what commits have taken
PROPERTIES = {**kafka.FAST_RESTART, "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
              "transaction.max.timeout.ms": str(TXN_TIMEOUT_MAX_MS)}
PARTITIONS = 3
NOTE = "." * 400  # rings are bounded in bytes: with large records a barrier has few of them before it


class Transfers:
    """What is to be booked: made from a seed, known to the oracle."""

    def __init__(self, seed, count=2000, accounts=40):
        chance = random.Random(seed)
        self.count = count
        self.list = []
        for number in range(count):
            giver, taker = chance.sample(range(accounts), 2)
            self.list.append({"id": number, "from": f"a{giver}", "to": f"a{taker}",
                              "amount": chance.randint(1, 1000), "time_ms": 1_000_000 + number, "note": NOTE})

    def lines(self, first=0, end=None):
        """Some of them as JSON lines, all by default."""
        return "".join(json.dumps(transfer) + "\n" for transfer in self.list[first:end]).encode()

    @property
    def legs(self):
        """What must be booked, each of it once."""
        for transfer in self.list:
            yield transfer["id"], transfer["from"], -transfer["amount"]
            yield transfer["id"], transfer["to"], transfer["amount"]


class Wrong(Exception):
    """What was booked is not what should have been, or a worker did not do what it should."""


class TooFast(Wrong):
    """A worker has ended before what should have happened to it."""


def check(transfers, found):
    """`found`: (partition, offset, entry), what a reader of committed records sees. Returns the number of transactions,
    as far as they can be told apart."""
    booked = collections.Counter((entry["id"], entry["account"], entry["amount"]) for _, _, entry in found)
    wanted = collections.Counter(transfers.legs)
    if booked != wanted:
        lost, more = wanted - booked, booked - wanted
        raise Wrong(f"{lost.total()} entries are missing, as {sorted(lost)[:3]}; {more.total()} are too many, as "
                    f"{sorted(more)[:3]}")
    _check_accounts(found)
    return _check_prefixes(found)


def _check_accounts(found):
    """State and output agree: no hole in the sequence of an account, no step that its balance does not know."""
    sequences, balances = collections.Counter(), collections.Counter()
    for partition, offset, entry in found:
        account = entry["account"]
        sequences[account] += 1
        balances[account] += entry["amount"]
        if (entry["sequence"], entry["balance"]) != (sequences[account], balances[account]):
            raise Wrong(f"partition {partition}, offset {offset}: {account} has sequence {entry['sequence']} and "
                        f"balance {entry['balance']}, and should have {sequences[account]} and {balances[account]}")


def _check_prefixes(found):
    """The end of a transaction, committed or aborted, takes an offset of its own. Where one is missing, money is
    neither made nor lost: both entries of a transfer are in. Only one partition shows that."""
    total, ends, last = 0, 0, None
    if any(partition != 0 for partition, _, _ in found):
        return 0
    for _, offset, entry in found:
        if last is not None and offset != last + 1:
            ends += 1
            if total != 0:
                raise Wrong(f"{total} is missing before offset {offset}: a transfer is booked by half")
        total += entry["amount"]
        last = offset
    if total != 0:
        raise Wrong(f"{total} is missing at the end")
    return ends + 1


class Bank:
    """A broker with a topic of transfers, and the compiled app. A context manager."""

    def __init__(self, transfers, properties=None):
        self.transfers = transfers
        # In memory where there is such a folder: a kill loses nothing there either, and checkpoints are as many as they
        # should be, however busy the disk is.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sabot-ledger-", dir=memory))
        self.broker = kafka.Broker(properties={**PROPERTIES, **(properties or {})})
        self.app = None
        self.topic = "transfers"

    def __enter__(self):
        try:
            self.broker.start()
            self.app = compile_app(self.folder, "test/e2e/_ledger.c", "ledger.so")
            self.send(self.topic, self.transfers.lines())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.broker.stop()
        shutil.rmtree(self.folder)

    def url(self, topic, partitions, address=None):
        return f"kafka://{address or self.broker.address}/{topic}?partitions={partitions}"

    def send(self, topic, lines):
        command = [SABOT, "-A", f"{self.app}:app", "send", "transfers",
                   "--bind", f"transfers={self.url(topic, PARTITIONS)}"]
        subprocess.run(command, input=lines, check=True, env=clean_environment(), stderr=subprocess.DEVNULL)

    def tool(self, name, *arguments):
        """One of the broker's own tools."""
        command = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{self.broker.libs}/*", name,
                   "--bootstrap-server", self.broker.address, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or "Error" in done.stdout + done.stderr:
            raise Wrong(f"{name}: {done.stdout}{done.stderr}")
        return done.stdout


def has_stopped(worker):
    """Wait until a worker has stopped, or has ended."""
    return os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT).si_code == os.CLD_STOPPED


def go_on(worker):
    """Let it go on, also from a point where it stops again."""
    while has_stopped(worker):
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED)
        worker.send_signal(signal.SIGCONT)


def stacks_of(worker):
    """Where its threads are, as far as a debugger is at hand."""
    if shutil.which("gdb") is None:
        return "no gdb, no stacks"
    command = ["gdb", "-p", str(worker.pid), "-batch", "-ex", "thread apply all bt"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout


class Ledger:
    """One pipeline and its workers."""

    def __init__(self, bank, name, threads=1, partitions=1, pause_ms=2, options=(), topic=None, address=None):
        """`pause_ms`: what a transfer takes while things happen. `topic`: of transfers, by default the bank's.
        `address`: of the broker that has the entries, by default the bank's."""
        self.bank, self.name, self.threads, self.partitions = bank, name, threads, partitions
        self.pause_ms = pause_ms
        self.topic, self.address = topic or bank.topic, address or bank.broker.address
        self.options = list(options)
        self.folder = bank.folder / name
        self.folder.mkdir()
        self.runs = []
        self.workers = []

    @property
    def group(self):
        return f"sabot.ledger.{self.name}"

    def command(self, arguments, pause_ms):
        options = {"checkpoint.interval_ms": 1, "batch.rows": 4, "ring.bytes": "64KiB",
                   "channel.buffer_bytes": "64KiB", "ledger.name": self.name, "ledger.pause_ms": pause_ms}
        command = [SABOT, "-A", f"{self.bank.app}:app", "worker", "-c", str(self.threads),
                   "--state-dir", "state", "--until-end",
                   "--bind", f"transfers={self.bank.url(self.topic, PARTITIONS)}",
                   "--bind", f"entries={self.bank.url(self.name, self.partitions, self.address)}"]
        for key, value in options.items():
            command += ["-O", f"{key}={value}"]
        return command + self.options + list(arguments)

    def start(self, *arguments, crash="", stop="", fast=False):
        """A worker that may be killed or stopped at a crash point, "label:hit"."""
        environment = clean_environment()
        if crash:
            environment["SABOT_CRASH_AT"] = crash
        if stop:
            environment["SABOT_STOP_AT"] = stop
        command = self.command(arguments, 0 if fast else self.pause_ms)
        worker = subprocess.Popen(command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.workers.append(worker)
        return worker

    def finish(self, worker, codes=(0,), what="the worker"):
        """Wait for its end; what it says is kept for a report, and where its threads are if it does not end."""
        try:
            _, err = worker.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            stacks = stacks_of(worker)
            worker.kill()
            _, err = worker.communicate()
            self.runs.append(f"--- {what}: killed\n{err.decode(errors='replace')}\n{stacks}")
            raise Wrong(f"{what} has not ended after {PATIENCE_S} s") from None
        done = Done(worker.returncode, b"", err)
        self.runs.append(f"--- {what}: ended with {done.code}\n{done.err}")
        if done.code not in codes:
            raise Wrong(f"{what} ended with {done.code}, not {codes}: {done.error}")
        return done

    def run(self, *arguments, codes=(0,), what="the worker"):
        """Nothing happens to this one: it is fast."""
        return self.finish(self.start(*arguments, fast=True), codes, what)

    def crash(self, point):
        """Run up to a crash point, which must be reached."""
        what = f"the worker with SABOT_CRASH_AT={point}"
        if self.finish(self.start(crash=point), (-signal.SIGKILL, 0), what).code == 0:
            raise TooFast(f"{what} has never been there")

    def freeze(self, point, crash=""):
        """A worker that has stopped at a crash point."""
        worker = self.start(stop=point, crash=crash)
        if not has_stopped(worker):
            self.finish(worker)
            raise TooFast(f"the worker with SABOT_STOP_AT={point} has never been there")
        return worker

    def sabot(self, *arguments):
        """A command about the state, or to its worker."""
        done = subprocess.run([SABOT, *arguments, "--state-dir", "state"], cwd=self.folder, env=clean_environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    def entries(self):
        """What a reader of committed records sees up to the end of the topic; no transaction stays open before it."""
        deadline = time.monotonic() + PATIENCE_S
        found, ends = self.read()
        # A worker ends when its transaction is decided; the broker makes it visible a moment later.
        while found is None or ends != self.ends("read_uncommitted"):
            if time.monotonic() > deadline:
                raise Wrong(f"topic {self.name}: a transaction stays open, or the broker does not answer")
            found, ends = self.read()
        return found

    def read(self):
        """What is committed, and the offset each partition was read up to; (None, None) if that is not known."""
        command = ["kcat", "-C", "-e", "-b", self.address, "-t", self.name, "-o", "beginning",
                   "-X", "isolation.level=read_committed", "-X", "fetch.wait.max.ms=10", "-f", "%p %o %s\n"]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
        reached = re.findall(rb"^% Reached end of topic \S+ \[(\d+)\] at offset (\d+)", done.stderr, re.MULTILINE)
        ends = {int(partition): int(offset) for partition, offset in reached}
        if done.returncode != 0 or sorted(ends) != list(range(self.partitions)):
            return None, None
        found = []
        for line in done.stdout.splitlines():
            partition, offset, value = line.split(b" ", 2)
            found.append((int(partition), int(offset), json.loads(value)))
        found.sort(key=lambda each: each[:2])
        return found, [ends[partition] for partition in range(self.partitions)]

    def check(self):
        """Everything is booked once. Returns the number of transactions that are told apart."""
        return check(self.bank.transfers, self.entries())

    def wait_for_entries(self, worker, more=1):
        """Until a transaction or a few have been committed, or the worker has ended."""
        deadline = time.monotonic() + PATIENCE_S
        before = sum(self.ends())
        while worker.poll() is None and sum(self.ends()) < before + more:
            if time.monotonic() > deadline:
                raise Wrong("nothing is booked any more")

    def ends(self, isolation="read_committed"):
        """Where the partitions end; [] as long as there is no topic, or the broker does not answer for all of it: that
        says nothing about the topic."""
        command = ["kcat", "-Q", "-b", self.address, "-X", f"isolation.level={isolation}"]
        for partition in range(self.partitions):
            command += ["-t", f"{self.name}:{partition}:-1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        # One that can't be told is "offset -1: why", and kcat's exit code 0.
        told = re.findall(r"^\S+ \[(\d+)\] offset (\d+)$", done.stdout, re.MULTILINE)
        ends = {int(partition): int(offset) for partition, offset in told}
        if done.returncode != 0 or sorted(ends) != list(range(self.partitions)):
            return []
        return [ends[partition] for partition in range(self.partitions)]

    @property
    def hint(self):
        return self.folder / "state/ledger" / self.name / "commit.ms"

    def slowest_commit_ms(self):
        """Of the run before, as the next one will find it; 0: they were fast."""
        return int(self.hint.read_text()) if self.hint.exists() else 0

    def timeout_ms(self):
        """Of its transactions, as the broker has it."""
        told = self.bank.tool("org.apache.kafka.tools.TransactionsCommand",
                              "describe", "--transactional-id", self.group)
        names, values = (line.split() for line in told.splitlines()[-2:])
        return int(values[names.index("TransactionTimeoutMs")])

    def keep(self):
        """Keep what a failed ledger leaves behind: its state, its topic with what was never committed, and where that
        stands. Returns a text for the report."""
        folder = KEPT / f"{self.name}-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("*.sock"))
        lines = [f"--- kept in {folder}", f"last stable offsets {self.ends()}, ends {self.ends('read_uncommitted')}"]
        for isolation in ("read_committed", "read_uncommitted"):
            command = ["kcat", "-C", "-e", "-b", self.address, "-t", self.name, "-o", "beginning",
                       "-X", f"isolation.level={isolation}", "-f", "%p %o %s\n"]
            with open(folder / f"topic.{isolation}", "wb") as topic:
                done = subprocess.run(command, stdout=topic, stderr=subprocess.PIPE, timeout=PATIENCE_S, check=False)
            count = (folder / f"topic.{isolation}").read_bytes().count(b"\n")
            lines.append(f"{isolation}: {count} records\n{done.stderr.decode(errors='replace')}")
        questions = [("describe", "--transactional-id", self.group)]
        questions += [("describe-producers", "--topic", self.name, "--partition", str(partition))
                      for partition in range(self.partitions)]
        for question in questions:
            try:
                lines.append(self.bank.tool("org.apache.kafka.tools.TransactionsCommand", *question))
            except Wrong as error:  # an empty transaction log, a broker that is away
                lines.append(str(error))
        (folder / "report").write_text("\n".join(self.runs + lines))
        (folder / "broker.log").write_text(self.bank.broker.log())
        return "\n".join(lines)

    def end(self):
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
            worker.stderr.close()


PATIENCE_S = 120
KEPT = pathlib.Path(os.environ.get("SABOT_BUILD_DIR") or pathlib.Path(SOURCE) / "build") / "ledgers"
