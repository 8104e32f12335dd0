# SPDX-License-Identifier: Apache-2.0
"""What the command says about itself. The option table is cut: docs/CONFIGURATION.md holds all of it (lint docs)."""
import re
import sys

from _golden import Suite


def cut_table(text):
    """Keep the first option; those of the app stay."""
    return re.sub(r"(?s)\n  broker=.*?(?=\nOptions of the app|\Z)", "\n  <more options>\n", text)


suite = Suite("cli_help")
suite.build_app("_echo")
suite.run("all", ["--help"])
suite.run("short", ["-h"])
suite.run("worker", ["worker", "--help"], shape=cut_table)
suite.run("worker_before", ["--help", "worker"], shape=cut_table)
suite.run("worker_of_app", ["-A", "echo.so:app", "worker", "--help"], shape=cut_table)
suite.run("send", ["send", "--help"])
suite.run("tap", ["tap", "--help"])
suite.run("plan", ["plan", "--help"], shape=cut_table)
suite.run("why", ["why", "--help"])
suite.run("checkpoint", ["checkpoint", "--help"])
suite.run("savepoint", ["savepoint", "--help"])
suite.run("state", ["state", "--help"])
suite.run("options_help", ["options", "--help"])
suite.run("options", ["options"], shape=cut_table)
suite.run("options_of_app", ["-A", "echo.so:app", "options"], shape=cut_table)
suite.run("options_of_app_missing", ["-A", "missing.so:app", "options"], shape=cut_table)
suite.run("version", ["--version"])
sys.exit(suite.finish())
