# SPDX-License-Identifier: Apache-2.0
"""`sabot checkpoint`: what lies below a state directory, whole and damaged."""
import json
import re
import shutil
import subprocess
import sys

from _golden import BUILD, SABOT, Suite

suite = Suite("cli_checkpoint")
suite.write("lines.jsonl", '{"line": "to be or not to be"}\n{"line": "to see"}\n')


def work(*options):
    subprocess.run([SABOT, "-A", f"{BUILD}/word_count.so:app", "worker", "--bind", "lines=file:lines.jsonl", "--bind",
                    "counts=file:counts.jsonl", "--state-dir", "state", *options], cwd=suite.work,
                   env=suite.environment, capture_output=True, timeout=60, check=True)


def copy(name, damage):
    """The state directory once more, with what `damage` does to the folder of its checkpoint."""
    shutil.copytree(suite.work / "state", suite.work / name)
    damage(next((suite.work / name).glob("word_count/split/ckpt-*")))


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def columns(text):
    """How wide a column is, and how large a shard, depends on numbers that are drawn."""
    return re.sub(r" {2,}", "  ", re.sub(r"\d+,\d{3}", "<bytes>", text))


def numbers(text):
    for name in ("time_ms", "age_ms", "bytes"):
        text = re.sub(rf'"{name}":\d+', f'"{name}":<{name}>', text)
    return text


def look(case, *arguments, environment=None, shape=columns):
    suite.run(case, ["checkpoint", *arguments], environment=environment, shape=shape)


(suite.work / "empty").mkdir()
work()
copy("state_flipped", lambda folder: flip(folder / "chunks"))
copy("state_cut", lambda folder: (folder / "chunks").write_bytes(b"short"))
copy("state_gone", lambda folder: (folder / "chunks").unlink())
copy("manifest_flipped", lambda folder: flip(folder / "manifest"))
copy("manifest_gone", lambda folder: (folder / "manifest").unlink())
copy("moved", lambda folder: folder.parent.rename(folder.parents[1] / "other"))

look("ls", "ls", "--state-dir", "state")
look("ls_json", "ls", "--state-dir", "state", "--json", shape=numbers)
look("ls_of_environment", "ls", environment={"SABOT_STATE_DIR": "state"})
look("create_without_worker", "create", "--state-dir", "state")
look("create_too_many", "create", "1", "--state-dir", "state")
look("ls_without_app", "ls", "--state-dir", "state", environment={"SABOT_APP": "missing.so:app"})
look("ls_empty", "ls", "--state-dir", "empty")
look("ls_no_folder", "ls", "--state-dir", "missing")
look("ls_no_state_dir", "ls")
look("verify", "verify", "--state-dir", "state")
look("verify_by_id", "verify", "1", "--state-dir", "state")
look("verify_unknown_id", "verify", "2", "--state-dir", "state")
look("verify_bad_id", "verify", "one", "--state-dir", "state")
look("verify_empty", "verify", "--state-dir", "empty")
look("nothing", "--state-dir", "state")
look("unknown", "look", "--state-dir", "state")
look("word_too_many", "ls", "1", "--state-dir", "state")
for kind in ("state_flipped", "state_cut", "state_gone", "manifest_flipped", "manifest_gone", "moved"):
    look(f"ls_{kind}", "ls", "--state-dir", kind)
    look(f"verify_{kind}", "verify", "--state-dir", kind)
look("verify_json", "verify", "--state-dir", "state_flipped", "--json")

work("--reset")
look("ls_after_reset", "ls", "--state-dir", "state")
look("verify_after_reset", "verify", "--state-dir", "state")

# JSON is JSON.
done = subprocess.run([SABOT, "checkpoint", "ls", "--state-dir", "state", "--json"], cwd=suite.work,
                      env=suite.environment, capture_output=True, text=True, timeout=60, check=True)
found = [json.loads(line) for line in done.stdout.splitlines()]
assert [one["moved_aside"] for one in found] == [False, True], found
assert all(one["finished"] and one["condition"] == "whole" and one["bytes"] > 0 for one in found), found
sys.exit(suite.finish())
