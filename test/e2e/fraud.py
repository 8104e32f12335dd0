#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fraud example finds what an independent reference of its rules finds: 200,000 transactions from a file and from
its own source, with one, two and four threads, and what stands exactly on the edge of each rule.
"""
import json
import unittest

from _fraud import FraudTest, read_json, reference

COUNT = 200_000


class Traffic(FraudTest):
    def setUp(self):
        super().setUp()
        with open(self.folder / "transactions.jsonl", "wb") as file:
            self.bank("--count", COUNT, stdout=file)
        with open(self.folder / "transactions.jsonl", encoding="utf-8") as lines:
            self.expected = list(reference.score(lines))
        self.assertEqual({alert["fraud_type"] for alert in self.expected},
                         {"VELOCITY", "AMOUNT_ANOMALY", "GEO_IMPOSSIBLE"})
        self.assertGreater(len(self.expected), COUNT // 200)

    def test_from_a_file_and_from_the_source_with_any_number_of_threads(self):
        for source in (["--bind", "bank-transactions=file:transactions.jsonl"], ["-O", f"fraud.count={COUNT}"]):
            for threads in (1, 2, 4):
                with self.subTest(source=source[1], threads=threads):
                    done = self.fraud("-c", threads, "--json", *source)
                    self.assert_code(done, 0)
                    self.assertEqual(done.summary["records_processed"], COUNT)
                    self.assert_alerts(self.expected, read_json(self.folder / "alerts.jsonl"))

    def test_through_a_pipe_from_the_bank_to_standard_output(self):
        transactions = (self.folder / "transactions.jsonl").read_bytes()
        done = self.fraud("--bind", "bank-transactions=file:-", to="file:-", stdin=transactions)
        self.assert_code(done, 0)
        self.assert_alerts(self.expected, [json.loads(line) for line in done.out.splitlines()])

    def test_the_bank_writes_the_same_to_a_channel(self):
        self.bank("--count", 1000, "--to", "file:sent.jsonl")
        with open(self.folder / "transactions.jsonl", "rb") as file:
            self.assertEqual((self.folder / "sent.jsonl").read_bytes(), b"".join(file.readline() for _ in range(1000)))


START = 1_700_000_000_000
DAY = 86_400_000


class Edges(FraudTest):
    """Each test writes some transactions and says which alerts there are, as (which transaction, type, severity)."""

    def transactions(self, *rows, account="A"):
        """Rows of (time, amount, city); times are far apart and cities the same where they are None."""
        made = []
        for number, (time, amount, city) in enumerate(rows):
            made.append({
                "transaction_id": number, "account_number": account, "user_id": "u",
                "transaction_date": "2023-11-14T22:13:20Z", "transaction_amount": 10.0 if amount is None else amount,
                "currency": "CLP", "transaction_type": "purchase", "branch_city": "Lima" if city is None else city,
                "payment_method": "cash", "country": "Perú",
                "timestamp_ms": START + (number * DAY if time is None else time),
            })
        return made

    def assert_found(self, transactions, *expected):
        self.write("edges.jsonl", "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in transactions))
        with open(self.folder / "edges.jsonl", encoding="utf-8") as lines:
            wanted = list(reference.score(lines))
        self.assertEqual([(one["transaction_id"], one["fraud_type"], one["severity"]) for one in wanted],
                         list(expected), "the reference itself")
        done = self.fraud("--bind", "bank-transactions=file:edges.jsonl")
        self.assert_code(done, 0)
        found = read_json(self.folder / "alerts.jsonl")
        self.assert_alerts(wanted, found)
        return found

    def test_three_at_the_same_time_are_velocity(self):
        found = self.assert_found(self.transactions(*[(0, None, None)] * 3), (2, "VELOCITY", "HIGH"))
        self.assertEqual(found[0]["related_transactions"], "0,1")

    def test_a_minute_sharp_is_none_and_a_millisecond_less_is(self):
        self.assert_found(self.transactions((0, None, None), (1, None, None), (60_000, None, None)))
        self.assert_found(self.transactions((1, None, None), (1, None, None), (60_000, None, None)),
                          (2, "VELOCITY", "HIGH"))

    def test_what_is_later_but_came_before_is_no_velocity(self):
        self.assert_found(self.transactions((5_000, None, None), (5_000, None, None), (4_999, None, None)))

    def test_times_of_all_sizes(self):
        big = 2**63 - 1 - START
        self.assert_found(self.transactions((big, None, "Lima"), (-2**63 - START, None, "Cusco"), (big, None, "Arica"),
                                            (big, None, "Arica")), (3, "VELOCITY", "HIGH"))

    def test_the_fifth_is_not_judged_and_the_sixth_is(self):
        self.assert_found(self.transactions(*[(None, amount, None) for amount in (1, 2, 1, 2, 1000)]))
        self.assert_found(self.transactions(*[(None, amount, None) for amount in (1, 2, 1, 2, 1, 1000)]),
                          (5, "AMOUNT_ANOMALY", "CRITICAL"))

    def test_equal_amounts_have_no_deviation(self):
        self.assert_found(self.transactions(*[(None, 0.1, None)] * 9, (None, 1e9, None)))

    def test_three_and_four_deviations(self):
        unit = [(None, amount, None) for amount in (-1, 1, -1, 1, -1, 1)]  # mean 0, deviation 1
        for amount, severity in ((3, None), (-3, None), (3.00000001, "HIGH"), (-3.00000001, "HIGH"), (4, "HIGH"),
                                 (4.00000001, "CRITICAL"), (-5, "HIGH")):
            with self.subTest(amount=amount):
                self.assert_found(self.transactions(*unit, (None, amount, None)),
                                  *([(6, "AMOUNT_ANOMALY", severity)] if severity else []))

    def test_amounts_at_the_end_of_the_numbers(self):
        amounts = (1.7e308, -1.7e308, 1.7e308, 5e-324, 0, -0.0, 1e-310, 1.7e308, 1, 2)
        self.assert_found(self.transactions(*[(None, amount, None) for amount in amounts]))

    def test_ten_minutes_and_either_order_of_times(self):
        for time, is_found in ((599_999, True), (600_000, False), (-599_999, True), (-600_000, False), (0, True)):
            with self.subTest(time=time):
                self.assert_found(self.transactions((0, None, "Santiago"), (time, None, "Lima")),
                                  *([(1, "GEO_IMPOSSIBLE", "CRITICAL")] if is_found else []))

    def test_details_name_the_distance_between_known_cities(self):
        cities = ("Concepción", "Valparaíso", "Nueva York", "Lima")
        found = self.assert_found(self.transactions(*[(i * 100_000, None, city) for i, city in enumerate(cities)]),
                                  *[(i, "GEO_IMPOSSIBLE", "CRITICAL") for i in (1, 2, 3)])
        self.assertEqual([alert["details"] for alert in found], [
            "Concepción, then Valparaíso: 439 km apart, 100 s apart",
            "Valparaíso, then Nueva York: 0 km apart, 100 s apart",
            "Nueva York, then Lima: 0 km apart, 100 s apart"])

    def test_cities_differ_in_their_last_byte_however_long(self):
        long = "Ciudad con un nombre muy largo y con acentos áéíóú " * 20
        found = self.assert_found(self.transactions((0, None, long), (100_000, None, long), (200_000, None, long + "x"),
                                                    (300_000, None, "\u0000" + long)),
                                  *[(i, "GEO_IMPOSSIBLE", "CRITICAL") for i in (2, 3)])
        self.assertLess(len(found[0]["details"]), 256)

    def test_texts_of_all_kinds_pass_through(self):
        account = "\"\\\n\u0001 áé€😀" + "x" * 10_000
        found = self.assert_found(self.transactions((0, None, ""), (1, None, "\n"), account=account),
                                  (1, "GEO_IMPOSSIBLE", "CRITICAL"))
        self.assertEqual(found[0]["account_number"], account)

    def test_the_101st_puts_the_first_out(self):
        # Two on one minute, 98 others, then two on that minute again: for the second one only one of the two is left.
        rows = [(0, None, None)] * 2 + [((i + 1) * DAY, None, None) for i in range(98)]
        self.assert_found(self.transactions(*rows, (1, None, None)), (100, "VELOCITY", "HIGH"))
        self.assert_found(self.transactions(*rows, (200 * DAY, None, None), (1, None, None)))

    def test_rules_report_in_their_order(self):
        rows = [(i * DAY, 10 + i % 2, None) for i in range(8)] + [(8 * DAY, 10, None)] * 2
        found = self.assert_found(self.transactions(*rows, (8 * DAY, 99, "Cusco")), (10, "VELOCITY", "HIGH"),
                                  (10, "AMOUNT_ANOMALY", "CRITICAL"), (10, "GEO_IMPOSSIBLE", "CRITICAL"))
        self.assertEqual([alert["alert_id"] for alert in found],
                         ["10-VELOCITY", "10-AMOUNT_ANOMALY", "10-GEO_IMPOSSIBLE"])
        self.assertEqual([alert["related_transactions"] for alert in found], ["8,9", "", "9"])

    def test_accounts_do_not_mix(self):
        one = self.transactions(*[(0, None, None)] * 2)
        self.assert_found(one + self.transactions((0, None, "Cusco"), account="B"))


if __name__ == "__main__":
    unittest.main()
