#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A table from a topic of a real broker: records and tombstones, another client's too, loaded before the stream."""
import json
import os
import signal
import subprocess
import unittest

from _command import SABOT, CommandTest

BROKER = os.environ.get("SABOT_TEST_BROKER", "localhost:9092")
APP = os.path.join(os.path.dirname(SABOT), "orders.so")
CUSTOMERS = 500


class Table(CommandTest):
    def url(self, channel):
        return f"kafka://{BROKER}/{channel}-{os.getpid()}?partitions=3"

    def command(self, command, channel, *arguments, **more):
        done = self.sabot("-A", f"{APP}:app", command, channel, f"--bind={channel}={self.url(channel)}", *arguments,
                          **more)
        self.assert_code(done, 0)
        return done

    def kcat(self, lines):
        """As other clients write: key and value with a tab between, an empty value is null."""
        subprocess.run(["kcat", "-P", "-b", BROKER, "-t", f"customers-{os.getpid()}", "-K\t", "-Z", "-X",
                        "topic.partitioner=murmur2_random"], input="".join(lines).encode(), check=True, timeout=60)

    def worker(self, threads, *arguments, customers="customers"):
        self.write("orders.jsonl", "".join(json.dumps({"customer": f"c{i}", "cents": 1}) + "\n"
                                           for i in range(CUSTOMERS)))
        self.write("balances.jsonl", "")
        return ("-A", f"{APP}:app", "worker", "-c", threads, f"--bind=customers={self.url(customers)}",
                "--bind=orders=file:orders.jsonl", "--bind=payments=file:/dev/null",
                "--bind=balances=file:balances.jsonl", *arguments)

    def names_found(self):
        lines = map(json.loads, self.read("balances.jsonl").splitlines())
        return {line["customer"]: line.get("name") for line in lines}

    def run_on(self, threads, customers):
        """Of a topic that goes on: stopped when all orders have come through."""
        process = self.start(*self.worker(threads, customers=customers), stderr=subprocess.DEVNULL)
        while self.read("balances.jsonl").count("\n") < CUSTOMERS:
            try:
                process.wait(0.01)
                self.fail(f"it has ended with {process.returncode}")
            except subprocess.TimeoutExpired:
                pass
        process.send_signal(signal.SIGTERM)
        process.wait()
        return self.names_found()

    def test_the_stream_finds_the_table_as_it_is_with_tombstones(self):
        names = {f"c{i}": f"first {i}" for i in range(CUSTOMERS)}
        self.command("send", "customers", stdin="".join(
            json.dumps({"id": customer, "name": name}) + "\n" for customer, name in names.items()).encode())
        self.kcat(f"c{i}\t\n" for i in range(0, CUSTOMERS, 2))
        self.kcat(f"c{i}\tnull\n" for i in range(1, CUSTOMERS, 10))
        self.kcat(f"c{i}\t" + json.dumps({"id": f"c{i}", "name": f"second {i}"}) + "\n" for i in range(0, CUSTOMERS, 5))
        for i in range(CUSTOMERS):
            name = f"second {i}" if i % 5 == 0 else None if i % 2 == 0 or i % 10 == 1 else f"first {i}"
            names[f"c{i}"] = name
        for threads in (1, 2, 4):
            with self.subTest(threads=threads):
                self.assert_code(self.sabot(*self.worker(threads, "--until-end")), 0)
                self.assertEqual(self.names_found(), names)
        self.assertEqual(self.run_on(2, "customers"), names)

    def test_an_empty_topic_keeps_no_stream_waiting(self):
        self.assertEqual(self.run_on(2, "nobody"), {f"c{i}": None for i in range(CUSTOMERS)})


if __name__ == "__main__":
    unittest.main()
