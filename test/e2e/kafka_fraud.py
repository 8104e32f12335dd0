#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fraud example through a real broker: 200,000 transactions in a topic of 3 partitions, the alerts into another
one, with one, two and four threads, equal to what the reference finds.
"""
import collections
import json
import os
import unittest

from _fraud import APP, FraudTest, reference

BROKER = os.environ.get("SABOT_TEST_BROKER", "localhost:9092")
COUNT = 200_000
START_MS = 1_740_787_200_000  # where it is written to must not matter
INPUT = f"fraud-transactions-{os.getpid()}"


def url(topic):
    return f"kafka://{BROKER}/{topic}?partitions=3"


class Kafka(FraudTest):
    def tap(self, channel, topic):
        """All records of a topic, with their partitions' order kept."""
        done = self.sabot("-A", APP, "tap", channel, "--bind", f"{channel}={url(topic)}", "--until-end")
        self.assert_code(done, 0)
        return [json.loads(line) for line in done.out.splitlines()]

    def test_topic_to_topic_with_any_number_of_threads(self):
        self.bank("--count", COUNT, "--start", START_MS, "--to", url(INPUT))
        with open(self.folder / "transactions.jsonl", "wb") as file:
            self.bank("--count", COUNT, "--start", START_MS, stdout=file)
        with open(self.folder / "transactions.jsonl", encoding="utf-8") as lines:
            expected = list(reference.score(lines))
        for threads in (1, 2, 4):
            with self.subTest(threads=threads):
                output = f"fraud-alerts-{os.getpid()}-{threads}"
                done = self.fraud("-c", threads, "--json", "--until-end", "--bind", f"bank-transactions={url(INPUT)}",
                                  to=url(output))
                self.assert_code(done, 0)
                self.assertEqual(done.summary["records_processed"], COUNT)
                self.assert_alerts(expected, self.tap("fraud-alerts", output))


if __name__ == "__main__":
    unittest.main()
