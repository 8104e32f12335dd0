# SPDX-License-Identifier: Apache-2.0
"""`sabot plan`: the graph with the times in force, whoever set them; and `why` where there is nobody to ask. The
numbers are the point, so none of them is replaced."""
import shutil
import sys

from _golden import BUILD, Suite

suite = Suite("cli_plan")
suite.shapes = []
for app in ("clicks", "word_count"):
    shutil.copy(BUILD / f"{app}.so", suite.work)
clicks = ["-A", "clicks.so:app"]

suite.run("text", [*clicks, "plan"])
suite.run("json", [*clicks, "plan", "--json"])
suite.run("of_agents", ["-A", "word_count.so:app", "plan", "--bind", "lines=file:lines.jsonl"])
suite.run("options", [*clicks, "plan", "-c", "4", "-O", "time.idle_after_ms=0", "-O", "time.future=skip",
                      "-O", "channels.clicks.lateness_ms=60000", "-O", "time.max_future_ms=0",
                      "--bind", "clicks=file:clicks.jsonl", "--bind", "late-clicks=file:late.jsonl"])
suite.run("unknown_channel", [*clicks, "plan", "-O", "channels.clikcs.lateness_ms=1"])
suite.run("word_too_many", [*clicks, "plan", "clicks"])
suite.run("why_without_worker", [*clicks, "why", "window", "--state-dir", "state"])
suite.run("why_without_state_dir", [*clicks, "why", "window"])
suite.run("why_nothing", [*clicks, "why"])
suite.run("why_unknown", [*clicks, "why", "lag", "--state-dir", "state"])
sys.exit(suite.finish())
