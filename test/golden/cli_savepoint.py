# SPDX-License-Identifier: Apache-2.0
"""`sabot savepoint`, and what a worker says of one: whole, damaged, not the one that counts."""
import re
import shutil
import subprocess
import sys

from _golden import BUILD, SABOT, Suite

suite = Suite("cli_savepoint")
suite.write("lines.jsonl", '{"line": "to be or not to be"}\n{"line": "to see"}\n')


def worker(follow, *options):
    return [SABOT, "-A", f"{BUILD}/word_count.so:app", "worker", "--bind", f"lines=file:lines.jsonl{follow}", "--bind",
            "counts=file:counts.jsonl", "--state-dir", "state", "-O", "checkpoint.interval_ms=3600000", *options]


def save():
    """A worker that goes on, a savepoint of it with --stop; and one that goes on behind it, to the end."""
    process = subprocess.Popen(worker("?follow=true"), cwd=suite.work, env=suite.environment,
                               stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "agent " in line:
            break
    subprocess.run([SABOT, "savepoint", "create", "saved", "--stop", "--state-dir", "state"], cwd=suite.work,
                   env=suite.environment, timeout=60, check=True, capture_output=True)
    process.communicate(timeout=60)
    with open(suite.work / "lines.jsonl", "a", encoding="utf-8") as lines:
        lines.write('{"line": "what comes later"}\n')
    subprocess.run(worker(""), cwd=suite.work, env=suite.environment, capture_output=True, timeout=60, check=True)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def numbers(text):
    text = re.sub(r"offset \d+", "offset <n>", re.sub(r"\d+,\d{3} bytes", "<bytes>", text))
    text = re.sub(r"checkpoint \d+", "checkpoint <id>", re.sub(r"which is \d+", "which is <id>", text))
    return re.sub(r'"(time_ms|age_ms|bytes|id|offset)":\d+', r'"\1":<\1>', text)


def look(case, *arguments, **options):
    suite.run(case, ["savepoint", *arguments], shape=numbers, **options)


def restore(case, *options):
    suite.run(case, worker("", *options)[1:], shape=numbers)


(suite.work / "empty").mkdir()
save()
for name, damage in (("head", lambda path: flip(path / "savepoint")),
                     ("manifest", lambda path: flip(next(path.rglob("manifest")))),
                     ("state", lambda path: flip(next(path.rglob("state")))),
                     ("none", lambda path: (path / "savepoint").unlink())):
    shutil.copytree(suite.work / "saved", suite.work / f"saved_{name}")
    damage(suite.work / f"saved_{name}")

look("nothing")
look("unknown", "look")
look("word_too_many", "ls", "saved", "again")
look("show", "show", "saved")
look("show_json", "show", "saved", "--json")
look("show_which", "show")
look("show_missing", "show", "missing")
for name in ("head", "manifest", "state", "none"):
    look(f"show_{name}", "show", f"saved_{name}")
look("ls", "ls", ".")
look("ls_empty", "ls", "empty")
look("ls_missing", "ls", "missing")
look("ls_no_state_dir", "ls")
look("stop_is_for_create", "ls", "--stop", "--state-dir", "state")
look("create_without_worker", "create", "more", "--state-dir", "state")
look("rm_none", "rm", "saved_none")
look("rm", "rm", "saved_state")
restore("restore_refused", "--restore", "./saved")
restore("restore_damaged", "--restore", "./saved_manifest", "--force")
restore("restore_missing", "--restore", "./missing")
restore("restore_no_id", "--restore", "newest")
restore("restore_unknown_id", "--restore", "4711")
restore("restore_and_reset", "--restore", "./saved", "--reset")
restore("force_alone", "--force")
restore("from_offsets_without_group", "--from-offsets")
sys.exit(suite.finish())
