#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The example of a table and a shared state: balances that follow from one another, and names as they were last; and
what is said of both in checkpoints."""
import json
import os
import random
import unittest

from _command import SABOT, CommandTest

APP = os.path.join(os.path.dirname(SABOT), "orders.so")
CUSTOMERS = 20


class Orders(CommandTest):
    def write_inputs(self, seed, count):
        rand = random.Random(seed)
        names, self.changes = {}, {}
        with open(self.folder / "customers.jsonl", "w", encoding="utf-8") as file:
            for i in range(count):
                customer = f"c{rand.randrange(CUSTOMERS)}"
                if rand.random() < 0.2:
                    names.pop(customer, None)
                    record = {"id": customer, "gone": True}
                else:
                    names[customer] = f"Ña{i}"
                    record = {"id": customer, "name": names[customer]}
                print(json.dumps(record), file=file)
        for channel, sign in (("orders", 1), ("payments", -1)):
            with open(self.folder / f"{channel}.jsonl", "w", encoding="utf-8") as file:
                for _ in range(count):
                    customer, cents = f"c{rand.randrange(CUSTOMERS)}", rand.randrange(1, 100_000)
                    self.changes.setdefault(customer, []).append(sign * cents)
                    print(json.dumps({"customer": customer, "cents": cents}), file=file)
        return names

    def run_orders(self, *arguments):
        channels = ("customers", "orders", "payments", "balances")
        binds = [f"--bind={channel}=file:{channel}.jsonl" for channel in channels]
        return self.sabot("-A", f"{APP}:app", "worker", *binds, *arguments)

    def assert_balances(self, names):
        """What a customer owes changes by each order and payment once, in some order of the two."""
        owed = {}
        left = {customer: sorted(changes) for customer, changes in self.changes.items()}
        lines = list(map(json.loads, self.read("balances.jsonl").splitlines()))
        for line in sorted(lines, key=lambda line: line["change"]):
            customer = line["customer"]
            left[customer].remove(line["owed_cents"] - owed.get(customer, 0))
            owed[customer] = line["owed_cents"]
            self.assertEqual(line.get("name"), names.get(customer))
        self.assertEqual({customer: changes for customer, changes in left.items() if changes}, {})

    def test_balances_and_names_whatever_the_threads_and_the_backend(self):
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        names = self.write_inputs(seed, 3000)
        for threads, backend, rows in ((1, "memory", 1024), (2, "rocksdb", 7), (4, "memory", 7)):
            done = self.run_orders("-c", threads, "-O", f"state={backend}", "-O", f"batch.rows={rows}")
            if "without RocksDB" in done.err:
                continue
            self.assert_code(done, 0)
            self.assert_in(["table  customer on customers, by id",
                            "settle on payments, by customer, uses account of bill, reads table customer, to balances"],
                           done.err)
            self.assert_balances(names)

    def test_the_table_and_the_shared_state_are_in_checkpoints(self):
        names = self.write_inputs(1, 200)
        self.assert_code(self.run_orders("--state-dir", "state", "-O", "states.customer.row.backend=memory"), 0)
        done = self.sabot("state", "ls", "--json", "--state-dir", "state")
        self.assert_code(done, 0)
        states = {(state["agent"], state["state"]): state for state in map(json.loads, done.out.splitlines())}
        self.assertEqual(set(states), {("customer", "row"), ("bill", "account")})
        self.assertEqual(states[("customer", "row")]["keys"], len(names))
        owed = {customer: sum(changes) for customer, changes in self.changes.items()}
        done = self.sabot("state", "dump", "bill", "account", "--json", "--state-dir", "state")
        rows = map(json.loads, done.out.splitlines())
        self.assertEqual({row["key"]: row["value"]["owed_cents"] for row in rows}, owed)
        done = self.sabot("state", "get", "customer", "row", next(iter(names)), "--json", "--state-dir", "state")
        self.assert_code(done, 0)


if __name__ == "__main__":
    unittest.main()
