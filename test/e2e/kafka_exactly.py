#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exactly-once as it is told in one sentence, on a real broker; pipelines with Kafka at one end; what is refused."""
import collections
import json
import os
import signal
import subprocess
import sys
import time
import unittest

from _command import SOURCE, CommandTest, clean_environment

sys.path.insert(0, str(SOURCE / "test/kafka"))
from broker import default_dir, jars  # noqa: E402

BROKER = os.environ.get("SABOT_TEST_BROKER", "localhost:9092")
KEYS = 7
EMBEDDED = "file:in.jsonl?follow=true", "file:out.jsonl"


def records(start, end):
    return b"".join(b'{"id":%d,"key":"k%d"}\n' % (i, i % KEYS) for i in range(start, end))


class ExactlyOnce(CommandTest):
    def topic(self, name):
        return f"exactly-{os.getpid()}-{self.id().rsplit('.', 1)[-1][5:45]}-{name}"

    def url(self, name, partitions=1):
        return f"kafka://{BROKER}/{self.topic(name)}?partitions={partitions}"

    def send(self, name, lines):
        """Records behind those that are in the topic."""
        command = ["kcat", "-P", "-b", BROKER, "-t", self.topic(name), "-p", "0"]
        subprocess.run(command, input=lines, check=True, env=clean_environment())

    def make_topic(self, name):
        done = self.sabot("-A", self.app, "tap", "in", "-l", "error", "--bind", f"in={self.url(name)}", "--until-end")
        self.assert_code(done, 0)

    def committed(self, to):
        """What a reader of committed records sees."""
        if to.startswith("file:"):
            path = self.folder / to.removeprefix("file:")
            lines = path.read_text().splitlines() if path.exists() else []
        else:
            command = ["kcat", "-C", "-q", "-e", "-b", BROKER, "-t", self.topic("out"), "-o", "beginning",
                       "-X", "isolation.level=read_committed", "-X", "fetch.wait.max.ms=10"]
            lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def wait_until(self, process, condition):
        """Of a process that goes on."""
        while not condition():
            try:
                process.wait(0.01)
                self.fail(f"it has ended with {process.returncode}")
            except subprocess.TimeoutExpired:
                pass

    def worker_command(self, source, to, *options):
        command = [*self.echo_command(source=source, to=to), "--state-dir", "state"]
        for option in options:
            command += ["-O", option]
        return command

    def follow(self, source, to, *options, **more):
        """A worker that goes on, its log to be read."""
        return self.start(*self.worker_command(source, to, *options), stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, **more)

    def finish(self, source, to, *options, **more):
        """A worker that goes on to the end of its input."""
        source = source.removesuffix("?follow=true")
        return self.sabot(*self.worker_command(source, to, *options), "--until-end", **more)

    def checkpoint_ids(self):
        return sorted(int(path.parent.name.split("-")[1], 16)
                      for path in (self.folder / "state/echo/repeat").glob("ckpt-*/manifest"))

    def assert_exactly_once(self, entries, count):
        """Each record once; each key in its order, with a state that has seen each record once."""
        seen = collections.Counter()
        for entry in entries:
            self.assertEqual(entry["id"], seen[entry["key"]] * KEYS + int(entry["key"][1:]))
            seen[entry["key"]] += 1
            self.assertEqual(entry["seen"], seen[entry["key"]])
        self.assertEqual(sorted(entry["id"] for entry in entries), list(range(count)))


class PlainCase(ExactlyOnce):
    """100 records, a checkpoint at 50, killed at 75: 51 to 75 are processed again, and the output has each once."""

    def plain_case(self, source, to, add, *options):
        add(records(0, 50))
        process = self.follow(source, to, "checkpoint.interval_ms=3600000", "echo.log=true", *options)
        self.read_until(process.stderr, "record 49")
        done = self.sabot("-A", self.app, "--state-dir", "state", "checkpoint", "create")
        self.assert_code(done, 0)
        self.assertEqual(len(self.checkpoint_ids()), 1)
        add(records(50, 75))
        self.read_until(process.stderr, "record 74")
        process.kill()
        process.wait()
        self.assertLessEqual(len(self.committed(to)), 75 if to.startswith("file:") else 50)
        add(records(75, 100))
        done = self.finish(source, to, "echo.log=true", *options)
        self.assert_code(done, 0)
        self.assertRegex(done.err, r"goes on from checkpoint 1, \d+\.\d s old")
        self.assertRegex(done.err, r" 50 records follow checkpoint 1: so many at most are processed again")
        again = [int(line.rsplit(" ", 1)[1]) for line in done.err.splitlines() if ": record " in line]
        self.assertEqual(sorted(again), list(range(50, 100)))
        self.assert_exactly_once(self.committed(to), 100)

    def test_from_file_to_file_in_memory(self):
        self.plain_case(*EMBEDDED, lambda lines: self.write("in.jsonl", lines, "ab"))

    def test_from_file_to_file_in_rocksdb(self):
        self.plain_case(*EMBEDDED, lambda lines: self.write("in.jsonl", lines, "ab"), "state=rocksdb")

    def test_from_kafka_to_kafka_in_memory(self):
        self.make_topic("in")
        self.plain_case(self.url("in"), self.url("out"), lambda lines: self.send("in", lines))

    def test_from_kafka_to_kafka_in_rocksdb(self):
        self.make_topic("in")
        self.plain_case(self.url("in"), self.url("out"), lambda lines: self.send("in", lines), "state=rocksdb")


class OneEnd(ExactlyOnce):
    def test_from_a_file_to_kafka_whoever_is_killed_is_followed_by_one_that_goes_on(self):
        """No input has offsets: the transaction carries the mark of its checkpoint all the same."""
        to, written = self.url("out"), 0
        labels = ("txn.before_commit:1", "txn.committed:1", "ckpt.durable:2", "txn.offsets_sent:2", "ckpt.complete:2",
                  "txn.offsets_read:1", "txn.in_commit:2")
        for number, label in enumerate(labels):
            process = self.follow("file:in.jsonl?follow=true", to, "checkpoint.interval_ms=1",
                                  f"threads={1 + number % 3}", variables={"SABOT_CRASH_AT": label})
            while process.poll() is None:
                self.write("in.jsonl", records(written, written + 5), "ab")
                written += 5
                try:
                    process.wait(0.01)
                except subprocess.TimeoutExpired:
                    pass
            self.assertEqual(process.returncode, -signal.SIGKILL, process.stderr.read())
        self.assert_code(self.finish("file:in.jsonl", to), 0)
        self.assert_exactly_once(self.committed(to), written)
        done = self.finish("file:in.jsonl", to)
        self.assert_code(done, 0)
        self.assertIn("nothing is left to do", done.err)

    def test_from_kafka_to_a_file_the_offsets_of_the_group_follow(self):
        self.make_topic("in")
        self.send("in", records(0, 30))
        self.assert_code(self.finish(self.url("in"), "file:out.jsonl"), 0)
        self.assert_exactly_once(self.committed("file:out.jsonl"), 30)
        told = self.group_tool("--describe", "--offsets")
        self.assertRegex(told, rf"{self.topic('in')} +0 +30 +30 +0")

    def group_tool(self, *arguments):
        command = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{jars(default_dir())}/*",
                   "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", BROKER,
                   "--timeout", "60000", "--group", "sabot.echo.repeat", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Idle(ExactlyOnce):
    def test_a_pipeline_without_work_commits_again_after_a_long_while_and_not_before(self):
        self.make_topic("in")
        self.send("in", records(0, 10))
        self.make_topic("out")
        source, to = self.url("in"), self.url("out")
        process = self.follow(source, to, "checkpoint.interval_ms=1", "checkpoint.refresh_ms=300")
        self.wait_until(process, lambda: len(self.committed(to)) == 10)
        for _ in range(3):
            newest = max(self.checkpoint_ids())
            began = time.monotonic()
            self.wait_until(process, lambda newest=newest: max(self.checkpoint_ids()) > newest)
        self.assertGreater(time.monotonic() - began, 0.1)
        self.assertLess(max(self.checkpoint_ids()), 100)


class Refusals(ExactlyOnce):
    def test_a_record_over_the_topics_limit_fails_the_call_that_emits_it(self):
        """The error names the record that the call was about; nothing is in a transaction by then."""
        lines = [{"id": i, "key": "a-small-one"} for i in range(3)]
        lines.append({"id": 3, "key": "the-large-one", "note": "." * 1_200_000})
        self.write("in.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        done = self.finish("file:in.jsonl", self.url("out"), "record.bytes_max=4MiB")
        self.assert_code(done, 1)
        self.assert_in(["agent repeat: partition 0, offset 96: emit: channel out", "a record of 12001", "the-large-one",
                        self.topic("out"), "max.message.bytes"], done.error)
        self.assertEqual(self.committed(self.url("out")), [])

    def test_a_group_with_live_members_is_refused(self):
        self.make_topic("in")
        self.send("in", records(0, 10))
        command = ["kcat", "-u", "-G", "sabot.echo.repeat", "-b", BROKER, "-X", "client.id=the-other-one",
                   "-X", "auto.offset.reset=earliest", self.topic("in")]
        member = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, member)
        member.stdout.readline()
        done = self.finish(self.url("in"), self.url("out"))
        self.assert_code(done, 3)
        self.assert_in(["sabot.echo.repeat", "1 live member: the-other-one"], done.error)
        member.terminate()
        member.wait()
        # It has left an offset of its own, and that is noticed, too.
        done = self.finish(self.url("in"), self.url("out"))
        self.assert_code(done, 3)
        self.assert_in([self.topic("in"), "names no checkpoint", "--from-offsets", "--reset"], done.error)

    def test_what_a_transaction_has_to_commit_is_not_taken_for_committed(self):
        """At-least-once would go on from the newest manifest, whose output nobody has written."""
        self.make_topic("in")
        self.send("in", records(0, 10))
        process = self.follow(self.url("in"), self.url("out"), variables={"SABOT_CRASH_AT": "ckpt.durable:1"})
        process.wait()
        done = self.finish(self.url("in"), self.url("out"), "guarantee=at-least-once")
        self.assert_code(done, 3)
        self.assert_in(["exactly-once run", "--restore", "--reset"], done.error)
        self.assert_code(self.finish(self.url("in"), self.url("out")), 0)
        self.assert_exactly_once(self.committed(self.url("out")), 10)


if __name__ == "__main__":
    unittest.main()
