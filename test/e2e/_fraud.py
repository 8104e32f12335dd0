# SPDX-License-Identifier: Apache-2.0
"""What the tests of the fraud example share: its traffic, the alerts that the reference finds in it, and how those of a
run are compared with them.
"""
import collections
import json
import os
import pathlib
import subprocess
import sys

from _command import CommandTest

BUILD = pathlib.Path(os.environ.get("SABOT_BUILD_DIR", "build"))
SOURCE = pathlib.Path(os.environ.get("SABOT_SOURCE_DIR", "."))
APP = f"{BUILD}/fraud.so:app"
BANK = BUILD / "sabot-bank"

sys.path.insert(0, str(SOURCE / "test/reference"))
import fraud as reference  # noqa: E402


def read_json(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class FraudTest(CommandTest):
    @classmethod
    def setUpClass(cls):
        """No app to compile: it comes with the build."""

    def bank(self, *arguments, **more):
        return subprocess.run([BANK, *map(str, arguments)], cwd=self.folder, check=True, timeout=600, **more)

    def fraud(self, *arguments, to="file:alerts.jsonl", **more):
        return self.sabot("-A", APP, "worker", "--bind", f"fraud-alerts={to}", *arguments, **more)

    def assert_alerts(self, expected, found):
        """Equal as multisets, and for each account in the same order; what they say beside is right, too."""
        self.assertEqual(reference.differences(reference.multiset(expected), reference.multiset(found)), [])
        self.assertEqual(self.by_account(expected), self.by_account(found))
        expected = {alert["alert_id"]: alert for alert in expected}
        for alert in found:
            want = expected[alert["alert_id"]]
            self.assertEqual(set(alert), {"alert_id", "transaction_id", "account_number", "fraud_type", "severity",
                                          "details", "timestamp_ms", "related_transactions"})
            for name in ("timestamp_ms", "related_transactions"):
                self.assertEqual(alert[name], want[name], alert)
            if "distance_km" in want:
                self.assertIn(f": {want['distance_km']} km apart, ", alert["details"])

    @staticmethod
    def by_account(alerts):
        accounts = collections.defaultdict(list)
        for alert in alerts:
            accounts[alert["account_number"]].append(alert["alert_id"])
        return accounts
