# SPDX-License-Identifier: Apache-2.0
"""A secret that the command was given is in nothing that it prints, whatever the log level and whatever goes wrong."""
import os
import pathlib
import signal
import subprocess
import tempfile

SOURCE = pathlib.Path(os.environ["SABOT_SOURCE_DIR"])
SABOT = os.environ["SABOT"]
SECRET = "hunter2-canary"
NAMES = ["kafka.sasl.password", "kafka.ssl.key.password", "kafka.ssl.keystore.password",
         "kafka.sasl.oauthbearer.client.secret"]


def check(what, *texts):
    for text in texts:
        assert SECRET not in text, f"{what}: {text}"


def run(work, *arguments):
    return subprocess.run([SABOT, "-A", "echo.so:app", *arguments], cwd=work, capture_output=True, text=True,
                          timeout=60, check=False, stdin=subprocess.DEVNULL)


def refused_inline(work):
    for name in NAMES:
        done = run(work, "worker", "-O", f"{name}={SECRET}")
        assert done.returncode == 2 and "is a secret" in done.stderr, done
        check(name, done.stdout, done.stderr)


def silent_while_it_runs(work):
    """No broker listens on port 1: the client says so again and again, with debug output on."""
    process = subprocess.Popen(
        [SABOT, "-A", "echo.so:app", "worker", "-b", "kafka://127.0.0.1:1", "-l", "debug", "--config", "secret.yaml",
         "-O", "kafka.debug=security,broker", "-O", "kafka.sasl.password=@secret.txt", "--json"],
        cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "trying again" in line:
            break
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, (process.returncode, lines, err)
    assert "trying again" in lines[-1], lines
    check("a run", out, err, *lines)


with tempfile.TemporaryDirectory(prefix="sabot_secret_") as folder:
    path = pathlib.Path(folder)
    subprocess.run(["cc", "-std=c17", "-shared", "-fPIC", f"-I{SOURCE}/include", "-o", "echo.so",
                    SOURCE / "test/golden/_echo.c"], cwd=path, check=True)
    (path / "secret.txt").write_text(SECRET + "\n")
    (path / "secret.yaml").write_text("kafka:\n  security.protocol: sasl_plaintext\n  sasl.mechanism: PLAIN\n"
                                      f"  sasl.username: me\n  ssl.key.password: {SECRET}\n")
    refused_inline(path)
    silent_while_it_runs(path)
