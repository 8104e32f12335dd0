#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command on a real broker: send and tap, topics that are missing, options, bad records; and brokers that are away
at the start, killed in the middle or frozen: the run goes on, each record arrives once, in the order of its key.
"""
import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

from _command import SOURCE, CommandTest

sys.path.insert(0, str(pathlib.Path(SOURCE) / "test/kafka"))
import broker as kafka  # noqa: E402

BROKER = os.environ.get("SABOT_TEST_BROKER", "localhost:9092")


def records(first, count, keys=7):
    return b"".join(b'{"id":%d,"key":"k%d"}\n' % (i, i % keys) for i in range(first, first + count))


class KafkaTest(CommandTest):
    address = BROKER
    topics = 0

    def setUp(self):
        super().setUp()
        KafkaTest.topics += 1
        self.topic = f"e2e-{os.getpid()}-{KafkaTest.topics}"

    def url(self, name, partitions=3):
        return f"kafka://{self.address}/{self.topic}-{name}" + (f"?partitions={partitions}" if partitions else "")

    def send(self, data, name="in", partitions=3):
        done = self.sabot("-A", self.app, "send", "in", "--bind", f"in={self.url(name, partitions)}", stdin=data)
        self.assert_code(done, 0)

    def tap(self, name, *arguments):
        done = self.sabot("-A", self.app, "tap", "out", "--bind", f"out={self.url(name)}", *arguments)
        self.assert_code(done, 0)
        return [json.loads(line) for line in done.out.splitlines()]

    def echo_topics(self, *arguments, **more):
        return self.echo(*arguments, source=self.url("in"), to=self.url("out"), **more)

    def start_worker(self, *arguments):
        return self.start_echo(*arguments, source=self.url("in"), to=self.url("out"), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def assert_all_once(self, found, count, keys=7):
        """Each id once; each key in its order, its state seen by nobody else."""
        self.assertEqual(sorted(record["id"] for record in found), list(range(count)))
        seen = collections.Counter()
        for record in found:
            self.assertEqual(record["id"], seen[record["key"]] * keys + int(record["key"][1:]))
            seen[record["key"]] += 1
            self.assertEqual(record["seen"], seen[record["key"]])


class Served(KafkaTest):
    def test_what_is_sent_goes_through_an_app_and_is_tapped(self):
        self.send(records(0, 3000))
        for threads in (1, 2, 4):
            with self.subTest(threads=threads):
                done = self.echo("--until-end", "--json", "-c", threads, source=self.url("in"),
                                 to=self.url(f"out{threads}"))
                self.assert_code(done, 0)
                self.assertEqual(done.summary["records_processed"], 3000)
                self.assertEqual(done.summary["outputs"], {"out": 3000})
                self.assert_all_once(self.tap(f"out{threads}", "--until-end"), 3000)
        self.assertEqual(len(self.tap("out1", "--count", 10)), 10)

    def test_an_empty_topic_ends_at_once(self):
        self.send(b"")
        done = self.echo_topics("--until-end", "--json")
        self.assert_code(done, 0)
        self.assertEqual(done.summary["records_processed"], 0)

    def test_a_missing_topic_is_one_line_and_exit_2(self):
        self.write("out.jsonl", b"old\n")
        done = self.echo(source=self.url("in", partitions=0))
        self.assert_not_started(done, "channel in", f'no topic "{self.topic}-in"', "?partitions=N")
        self.assertEqual(self.read("out.jsonl"), "old\n")
        self.send(b"")
        done = self.echo(source=self.url("in"), to=self.url("out", partitions=0))
        self.assert_not_started(done, "channel out", f'no topic "{self.topic}-out"')
        done = self.sabot("-A", self.app, "tap", "in", "--bind", f"in={self.url('other', partitions=0)}")
        self.assert_not_started(done, f'no topic "{self.topic}-other"')

    def test_the_default_transport_is_the_topic_of_the_channels_name(self):
        done = self.sabot("-A", self.app, "worker", "-b", f"kafka://{self.address}", "--bind", "out=file:out.jsonl")
        self.assert_not_started(done, 'no topic "in"')

    def test_options_of_the_client_are_passed_on_or_refused(self):
        self.send(records(0, 10))
        self.assert_code(self.echo_topics("--until-end", "-O", "kafka.fetch.wait.max.ms=10"), 0)
        self.assert_not_started(self.echo_topics("-O", "kafka.fetch.wait=10"), "kafka.fetch.wait")
        self.assert_not_started(self.echo_topics("-O", "kafka.isolation.level=read_uncommitted"),
                                "kafka.isolation.level", "only what was committed is read")

    def test_latest_begins_behind_what_is_there(self):
        self.send(records(0, 10))
        done = self.echo_topics("--until-end", "--json", "-O", "kafka.start=latest")
        self.assert_code(done, 0)
        self.assertEqual(done.summary["records_processed"], 0)

    def test_a_bad_record_ends_the_run_and_the_error_names_its_place(self):
        self.send(records(0, 5), partitions=1)
        # `send` would refuse it.
        subprocess.run(["kcat", "-P", "-b", self.address, "-t", f"{self.topic}-in"], input=b'{"id":5,"key":"k5"\n',
                       check=True)
        self.send(records(6, 3), partitions=1)
        done = self.echo("--until-end", source=self.url("in", 1), to="file:out.jsonl")
        self.assert_code(done, 1)
        self.assert_in(("channel in", "partition 0, offset 5"), done.error)
        self.assertEqual(self.ids("out.jsonl"), list(range(5)))
        done = self.echo("--until-end", "-O", "errors.decode=skip", source=self.url("in", 1))
        self.assert_code(done, 0)
        self.assertEqual(self.ids("out.jsonl"), [0, 1, 2, 3, 4, 6, 7, 8])

    def test_a_record_over_the_limit_is_treated_as_a_bad_one(self):
        large = json.dumps({"id": 5, "key": "k5", "note": "x" * 2000}).encode() + b"\n"
        self.send(records(0, 5) + large + records(6, 3), partitions=1)
        limit = ("--until-end", "-O", "record.bytes_max=1KiB")
        done = self.echo(*limit, source=self.url("in", 1))
        self.assert_code(done, 1)
        self.assert_in(("channel in", "partition 0, offset 5", "bytes; the limit is 1024"), done.error)
        self.assertEqual(self.ids("out.jsonl"), list(range(5)))
        done = self.echo(*limit, "-O", "errors.decode=skip", source=self.url("in", 1))
        self.assert_code(done, 0)
        self.assertEqual(self.ids("out.jsonl"), [0, 1, 2, 3, 4, 6, 7, 8])


class Broken(KafkaTest):
    """With a broker of its own for each test."""

    def setUp(self):
        super().setUp()
        self.broker = kafka.Broker(properties=kafka.FAST_RESTART)
        self.addCleanup(self.broker.stop)

    def start_broker(self):
        self.broker.start()
        self.address = self.broker.address

    def end_cleanly(self, worker, text=b""):
        worker.send_signal(signal.SIGTERM)
        _, err = worker.communicate()
        self.assertEqual(worker.returncode, 0, err)
        self.assertIn(text, err)

    def test_a_broker_that_is_away_at_the_start_is_waited_for(self):
        self.broker.reserve()
        self.address = self.broker.address
        worker = self.start_worker()
        line = self.read_until(worker.stderr, "no broker of")
        self.assert_in((self.address, "Connection refused", "trying again"), line)
        self.broker.start_reserved()
        self.read_until(worker.stderr, "answer again")
        self.send(records(0, 1000))
        self.assert_all_once(self.tap("out", "--count", 1000), 1000)
        self.end_cleanly(worker, b"1,000 records")

    def test_a_worker_that_waits_for_its_broker_can_be_stopped(self):
        self.broker.reserve()
        self.address = self.broker.address
        worker = self.start_worker()
        self.read_until(worker.stderr, "no broker of")
        self.end_cleanly(worker)

    def test_a_broker_that_is_killed_and_restarted_costs_nothing(self):
        self.start_broker()
        self.send(records(0, 20000))
        worker = self.start_worker("-c", 2)
        self.assertEqual(len(self.tap("out", "--count", 100)), 100)
        self.broker.kill()
        self.read_until(worker.stderr, "no broker of")
        self.broker.restart()
        self.read_until(worker.stderr, "answer again")
        self.send(records(20000, 20000))
        self.assert_all_once(self.tap("out", "--count", 40000), 40000)
        self.end_cleanly(worker, b"40,000 records")

    def test_a_broker_that_is_frozen_costs_nothing(self):
        self.start_broker()
        self.send(records(0, 20000))
        worker = self.start_worker()
        self.assertEqual(len(self.tap("out", "--count", 100)), 100)
        self.broker.pause()
        self.broker.resume()
        self.send(records(20000, 1000))
        self.assert_all_once(self.tap("out", "--count", 21000), 21000)
        self.end_cleanly(worker, b"21,000 records")


if __name__ == "__main__":
    unittest.main()
