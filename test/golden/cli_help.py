# SPDX-License-Identifier: Apache-2.0
"""What the command says about itself."""
import sys

from _golden import Suite

suite = Suite("cli_help")
suite.build_app("_echo")
suite.run("all", ["--help"])
suite.run("short", ["-h"])
suite.run("worker", ["worker", "--help"])
suite.run("worker_before", ["--help", "worker"])
suite.run("send", ["send", "--help"])
suite.run("tap", ["tap", "--help"])
suite.run("options_help", ["options", "--help"])
suite.run("options", ["options"])
suite.run("options_of_app", ["-A", "echo.so:app", "options"])
suite.run("options_of_app_missing", ["-A", "missing.so:app", "options"])
suite.run("worker_of_app", ["-A", "echo.so:app", "worker", "--help"])
suite.run("version", ["--version"])
sys.exit(suite.finish())
