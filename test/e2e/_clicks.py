# SPDX-License-Identifier: Apache-2.0
"""What the tests of the clicks example share: clicks by seed, and what must come of them."""
import json
import os
import random
import sys

from _command import SABOT, SOURCE, CommandTest

sys.path.insert(0, str(SOURCE / "test/reference"))
import clicks as reference  # noqa: E402

APP = f"{os.path.join(os.path.dirname(SABOT), 'clicks.so')}:app"
USERS = 20


def make_clicks(seed, count, disorder_ms, late=0.0):
    """In order of arrival: each up to `disorder_ms` older than the newest; some older by minutes or hours."""
    chance = random.Random(seed)
    newest = 1_714_564_800_000 + chance.randrange(60_000)
    for _ in range(count):
        newest += chance.choice((0, 1, 200, 1000, 4000, 20_000)) if chance.random() < 0.99 else 3_600_000
        time = newest - chance.randrange(disorder_ms + 1)
        if chance.random() < late:
            time -= chance.choice((8_000, 12_000, 60_000, 90_000, 7_200_000))
        yield {"user": f"u{chance.randrange(USERS)}", "page": f"/{chance.randrange(6)}", "time": time}


def lines_of(clicks):
    return "".join(json.dumps(click) + "\n" for click in clicks)


def in_order(results):
    """Windows of several users have no order among each other."""
    return sorted(results, key=lambda result: json.dumps(result, sort_keys=True))


class ClicksTest(CommandTest):
    def seed(self):
        seed = int(os.environ.get("SABOT_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
        print(f"SABOT_TEST_SEED={seed}", file=sys.stderr)
        return seed

    def assert_results(self, expected, found):
        expected, found = in_order(expected), in_order(found)
        for wanted, got in zip(expected, found):
            self.assertEqual(wanted, got)
        self.assertEqual(len(expected), len(found))
