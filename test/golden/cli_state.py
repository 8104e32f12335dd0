# SPDX-License-Identifier: Apache-2.0
"""`sabot state`: what agents know, from a checkpoint that a worker wrote."""
import json
import shutil
import subprocess
import sys

from _golden import BUILD, SABOT, Suite

suite = Suite("cli_state")
suite.write("lines.jsonl", '{"line": "to be or not to be"}\n{"line": "to \\\\ see Zürich 0xff"}\n')
subprocess.run([SABOT, "-A", f"{BUILD}/word_count.so:app", "worker", "--bind", "lines=file:lines.jsonl", "--bind",
                "counts=file:counts.jsonl", "--state-dir", "state"], cwd=suite.work, env=suite.environment,
               capture_output=True, timeout=60, check=True)
subprocess.run([SABOT, "-A", f"{BUILD}/fraud.so:app", "worker", "-O", "fraud.count=2000", "--bind",
                "fraud-alerts=file:alerts.jsonl", "--state-dir", "fraud"], cwd=suite.work, env=suite.environment,
               capture_output=True, timeout=60, check=True)


def damaged(name):
    shutil.copytree(suite.work / "state", suite.work / name)
    path = next((suite.work / name).glob("word_count/split/ckpt-*/chunks"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def in_order(text):
    """Rows come in the order of a hash whose seed is drawn; the head stays first."""
    lines = text.splitlines(True)
    return "".join(lines[:1] + sorted(lines[1:])) if lines and lines[0].startswith("AGENT") else "".join(sorted(lines))


def look(case, *arguments, folder="state", shape=in_order, environment=None):
    suite.run(case, ["state", *arguments, "--state-dir", folder], shape=shape, environment=environment)


def dump(folder):
    done = subprocess.run([SABOT, "state", "dump", "--json", "--state-dir", folder], cwd=suite.work,
                          env=suite.environment, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


(suite.work / "empty").mkdir()
damaged("damaged")

look("ls", "ls")
look("ls_json", "ls", "--json")
look("ls_without_app", "ls", environment={"SABOT_APP": "missing.so:app"})
look("ls_of_checkpoint", "ls", "--checkpoint", "1")
look("ls_empty", "ls", folder="empty")
look("ls_damaged", "ls", folder="damaged")
look("ls_of_checkpoint_damaged", "ls", "--checkpoint", "1", folder="damaged")
look("ls_of_checkpoint_unknown", "ls", "--checkpoint", "2")
look("ls_of_checkpoint_bad", "ls", "--checkpoint", "new")
look("dump", "dump")
look("dump_json", "dump", "--json")
look("dump_agent", "dump", "count")
look("dump_state", "dump", "count", "tally", "--json")
look("dump_agent_unknown", "dump", "split")
look("dump_state_unknown", "dump", "count", "total")
look("dump_limit_bad", "dump", "--limit", "0")
look("get", "get", "count", "tally", "to")
look("get_json", "get", "count", "tally", "Zürich", "--json")
look("get_escaped", "get", "count", "tally", "\\")
look("get_text_like_hex", "get", "count", "tally", "0xff")
look("get_missing", "get", "count", "tally", "nothing")
look("get_unknown", "get", "count", "total", "to")
look("get_too_few", "get", "count")
look("nothing", shape=in_order)
look("verb_unknown", "list")
look("word_too_many", "ls", "count")

# A limit is one, and a reader that has seen enough is no error.
limited = subprocess.run([SABOT, "state", "dump", "--limit", "3", "--json", "--state-dir", "state"], cwd=suite.work,
                         env=suite.environment, capture_output=True, text=True, timeout=60, check=True)
assert len(limited.stdout.splitlines()) == 3, limited

# What the state says is what was put out.
counts = {}
for line in (suite.work / "counts.jsonl").read_text().splitlines():
    record = json.loads(line)
    counts[record["word"]] = record["count"]
assert {row["key"]: row["value"]["count"] for row in dump("state")} == counts, counts

# A struct with numbers, texts and arrays is JSON, and `get` finds each key that `dump` lists.
accounts = dump("fraud")
assert len(accounts) > 100, len(accounts)
for row in accounts[:5]:
    done = subprocess.run([SABOT, "state", "get", row["agent"], row["state"], row["key"], "--json", "--state-dir",
                           "fraud"], cwd=suite.work, env=suite.environment, capture_output=True, text=True, timeout=60,
                          check=True)
    assert json.loads(done.stdout) == row, (done.stdout, row)
assert all(row["value"]["known"] >= 1 and len(row["value"]["amounts"]) == 100 for row in accounts)
sys.exit(suite.finish())
