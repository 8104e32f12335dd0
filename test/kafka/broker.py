#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Kafka broker for tests (KRaft, one node, loopback only).

    broker.py [--dir DIR] start          start one broker for a whole test run; writes DIR/broker.env
    broker.py [--dir DIR] stop           end it
    broker.py [--dir DIR] client -- CMD  run CMD with the environment of the started broker
    broker.py [--dir DIR] run -- CMD     start a broker of its own, run CMD, end it; the exit code is CMD's
    broker.py [--dir DIR] drive          a broker that does what is read, line by line: start kill restart pause
                                         resume; each is answered by "ok host:port". Ends with its input

CMD sees SABOT_TEST_BROKER (host:port) and SABOT_TEST_KAFKA_DIR (DIR, for brokers of its own). With SABOT_TEST_KAFKA=4
all of them are of Kafka 4 instead of 3.

Python tests import this module and use class Broker for brokers they may break: kill(), pause(), resume(),
restart() on the same data, extra server properties.

Nothing is left behind. Every broker is the child of a keeper process, which ends the broker's process group and its
folder when it is told to, or when its owner is gone. The owner is the process that made the Broker; for
`start` it is the first ancestor that lives on, ctest itself.

No wait here is a fixed sleep: readiness is a metadata request answered by the broker.
"""
import argparse
import base64
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
READY_SECONDS = 120  # a limit, not an expectation: about 3 s on an idle machine

# For brokers that are killed and restarted: the new one is let in when the old one's session has ended, by default
# after 9 s. Not for the broker of the run: a short session makes a slow machine look like a dead broker.
FAST_RESTART = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"}
HOST = "127.0.0.1"
MAJOR = os.environ.get("SABOT_TEST_KAFKA") or "3"
PROPERTIES_OF = {"3": {}, "4": {"share.coordinator.state.topic.replication.factor": "1",
                                "share.coordinator.state.topic.min.isr": "1"}}
LOG_OF = {  # what goes into the file, and the option that names it
    "3": ("-Dlog4j.configuration=file:",
          "log4j.rootLogger=WARN, out\n"
          "log4j.appender.out=org.apache.log4j.ConsoleAppender\n"
          "log4j.appender.out.layout=org.apache.log4j.PatternLayout\n"
          "log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %m (%c)%n\n"),
    "4": ("-Dlog4j2.configurationFile=",
          "status=error\n"
          "appender.out.type=Console\n"
          "appender.out.name=out\n"
          "appender.out.layout.type=PatternLayout\n"
          "appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n\n"
          "rootLogger.level=warn\n"
          "rootLogger.appenderRef.out.ref=out\n"),
}


def default_dir():
    build = os.environ.get("SABOT_BUILD_DIR") or HERE.parent.parent / "build"
    return pathlib.Path(os.environ.get("SABOT_TEST_KAFKA_DIR") or pathlib.Path(build) / "kafka")


class BrokerError(Exception):
    pass


# --- The jars -----------------------------------------------------------------------------------------


def jars(directory):
    """The folder with the broker's jars; Maven fills it when pom.xml has changed. Safe to call in parallel."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # All build folders of a source tree share one set of jars.
    cache = HERE.parent.parent / "build" / "kafka"
    cache.mkdir(parents=True, exist_ok=True)
    libs, stamp = cache / f"libs-{MAJOR}", cache / f"libs-{MAJOR}.pom"
    wanted = (HERE / "pom.xml").read_bytes()
    with open(cache / "libs.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_bytes() == wanted and any(libs.glob("kafka_*.jar")):
            return libs
        shutil.rmtree(libs, ignore_errors=True)
        command = ["mvn", "-q", "-B", "-P", f"kafka{MAJOR}", "-f", str(HERE / "pom.xml"),
                   "dependency:copy-dependencies", f"-DoutputDirectory={libs}",
                   f"-Dproject.build.directory={cache / 'target'}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not any(libs.glob("kafka_*.jar")):
            raise BrokerError(f"Maven cannot get the broker's jars:\n{done.stdout}{done.stderr}")
        stamp.write_bytes(wanted)
    return libs


# --- One broker ---------------------------------------------------------------------------------------


def free_ports(count):
    """Ports nobody listens on now. Another process may take one before the broker does; start() then tries anew."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def serves(port, seconds=2.0):
    """Does a metadata request (v1, all topics) come back with this broker in it?"""
    body = struct.pack(">hhih5si", 3, 1, 7, 5, b"sabot", -1)
    try:
        with socket.create_connection((HOST, port), timeout=seconds) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            size = struct.unpack(">i", _receive(connection, 4))[0]
            answer = _receive(connection, size)
    except OSError:
        return False
    correlation, brokers = struct.unpack(">ii", answer[:8])
    return correlation == 7 and brokers >= 1


def _receive(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise OSError("connection closed")
        data += more
    return data


class Broker:
    """A broker of one's own. Use as a context manager, or call stop()."""

    def __init__(self, directory=None, properties=None, owner=None, heap="512m"):
        """`properties`: server properties that replace or add to the usual ones. `owner`: the process with whose
        end the broker ends (default: this one)."""
        self.directory = pathlib.Path(directory or default_dir())
        self.libs = jars(self.directory)
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="broker-", dir=self.directory))
        self.properties = dict(properties or {})
        self.owner = owner or os.getpid()
        self.heap = heap
        self.port = self.controller_port = None
        self.keeper = None

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    @property
    def pid(self):
        """Of the JVM; its process group has the same id."""
        return int((self.home / "pid").read_text())

    def __enter__(self):
        if self.keeper is None:
            self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Format, start, wait until it serves. A taken port is tried again with others, five times."""
        for attempt in range(5):
            try:
                self._configure()
                self._launch()
                return self
            except BrokerError as error:
                log = self.log()
                self._end_keeper()
                if "Address already in use" not in log or attempt == 4:
                    shutil.rmtree(self.home, ignore_errors=True)
                    raise BrokerError(f"{error}\n{log[-4000:]}") from None
        return self

    def reserve(self):
        """Choose the ports, so that clients can look for a broker that is not there yet."""
        self._configure()

    def start_reserved(self):
        """Start on the ports of reserve()."""
        self._launch()

    def restart(self):
        """Start again on the same data and ports, after kill() or stop(keep=True)."""
        self._end_keeper()
        self._launch()

    def kill(self):
        """As if the machine had lost power, but for the page cache."""
        self._end(signal.SIGKILL)

    def terminate(self):
        """An orderly end."""
        self._end(signal.SIGTERM)

    def pause(self):
        """Nothing of it runs any more when this returns: a signal reaches the threads one by one."""
        pid = self.pid
        os.killpg(pid, signal.SIGSTOP)
        while any(_state(stat) not in "Tt" for stat in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")):
            os.sched_yield()

    def resume(self):
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self, keep=False):
        """End the broker; its folder goes too unless `keep`."""
        self._end_keeper()
        if not keep:
            shutil.rmtree(self.home, ignore_errors=True)

    def log(self):
        with contextlib.suppress(OSError):
            return (self.home / "log").read_text(errors="replace")
        return ""

    def create_topic(self, name, partitions=1, **config):
        """Make a topic; `config` with '_' for '.'."""
        command = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{self.libs}/*",
                   "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.address, "--create",
                   "--topic", name, "--partitions", str(partitions)]
        for key, value in config.items():
            command += ["--config", f"{key.replace('_', '.')}={value}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BrokerError(f"cannot create topic {name}: {done.stdout}{done.stderr}")

    # --- inside

    def _configure(self):
        self.port, self.controller_port = free_ports(2)
        shutil.rmtree(self.home / "data", ignore_errors=True)
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{HOST}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            "log.retention.ms": "-1",  # records of tests have event times of long ago
            "log.dirs": str(self.home / "data"),
        }
        properties.update(PROPERTIES_OF[MAJOR])
        properties.update(self.properties)
        text = "".join(f"{key}={value}\n" for key, value in properties.items())
        (self.home / "server.properties").write_text(text)
        (self.home / "log.properties").write_text(LOG_OF[MAJOR][1])
        cluster = _cluster_id()
        done = subprocess.run(
            self._java("-XX:TieredStopAtLevel=1") + ["kafka.tools.StorageTool", "format", "-t", cluster,
                                                    "-c", str(self.home / "server.properties")],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BrokerError(f"cannot format the broker's storage: {done.stdout}{done.stderr}")

    def _java(self, *options):
        return ["java", "-Xshare:auto", *options, f"{LOG_OF[MAJOR][0]}{self.home}/log.properties",
                "-cp", f"{self.libs}/*"]

    def _launch(self):
        (self.home / "pid").unlink(missing_ok=True)
        command = self._java(f"-Xmx{self.heap}") + ["kafka.Kafka", str(self.home / "server.properties")]
        arguments = [sys.executable, __file__, "keep", str(self.owner), str(self.home), "--", *command]
        # The keeper has a session of its own, so that ^C and a killed test don't reach it: it ends the broker first.
        with open(self.home / "log", "ab") as log:
            self.keeper = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           start_new_session=True)
        deadline = time.monotonic() + READY_SECONDS
        while not serves(self.port):
            if self.keeper.poll() is not None:
                raise BrokerError("the broker has ended while starting")
            if time.monotonic() > deadline:
                raise BrokerError(f"the broker does not serve after {READY_SECONDS} s")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.keeper.wait(0.05)

    def _end(self, number):
        pid = self.pid
        pid_fd = os.pidfd_open(pid)
        try:
            os.killpg(pid, number)
            if not select.select([pid_fd], [], [], READY_SECONDS)[0]:
                raise BrokerError(f"broker {pid} does not end")
        finally:
            os.close(pid_fd)

    def _end_keeper(self):
        if self.keeper is None:
            return
        self.keeper.terminate()
        self.keeper.wait()
        self.keeper = None


def _state(stat):
    """Of a thread, by its file in /proc: T, it is stopped."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "T"  # it has ended


def _cluster_id():
    """22 characters of base64url for 16 random bytes, not beginning with a dash (an option to the tool)."""
    while True:
        text = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
        if not text.startswith("-"):
            return text


# --- The keeper -----------------------------------------------------------------------------------------


def keep(owner, home, command):
    """Run the broker until it ends, a SIGTERM comes, or `owner` is gone. Then nothing of it is left running."""
    child = None
    wanted = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    try:
        owner_fd = os.pidfd_open(owner)
    except OSError:
        return 1
    signal_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    for each in wanted:
        signal.signal(each, lambda *_: None)

    def unblock():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, wanted)

    libc = ctypes.CDLL(None)

    def prepare():
        unblock()
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: should the keeper itself be killed

    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=prepare)
    pid_file = pathlib.Path(home) / "pid"
    pid_file.with_suffix(".new").write_text(str(child.pid))
    pid_file.with_suffix(".new").rename(pid_file)
    unblock()
    stopped_by = ""
    while True:
        ready, _, _ = select.select([owner_fd, signal_fd], [], [])
        if owner_fd in ready:
            stopped_by = "owner"
        elif signal_fd in ready:
            numbers = os.read(signal_fd, 64)
            if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                stopped_by = "request"
        # A broker that was killed by its test is not the end: the keeper stays until it is told.
        if stopped_by:
            break
        if child.poll() is not None and child.returncode > 0:
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # test data: an orderly shutdown takes seconds and proves nothing
    child.wait()
    if stopped_by == "owner":
        shutil.rmtree(home, ignore_errors=True)
        environment = pathlib.Path(home).parent / "broker.env"
        with contextlib.suppress(OSError, ValueError):
            if json.loads(environment.read_text())["home"] == str(home):
                environment.unlink()
    return 0 if stopped_by else 1


# --- The command ------------------------------------------------------------------------------------------


def lasting_owner():
    """The process a broker of `start` shall end with: ctest, when it is an ancestor, else our grandparent."""
    pid, ancestors = os.getppid(), []
    while pid > 1:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            name, _, rest = stat.read().partition("(")[2].rpartition(")")
        if name == "ctest":
            return pid
        ancestors.append(pid)
        pid = int(rest.split()[1])
    if not ancestors:
        raise BrokerError("start: no process to end with")
    return ancestors[0]


def read_environment(directory):
    try:
        return json.loads((directory / "broker.env").read_text())
    except OSError:
        return None


def start(directory):
    stop(directory)
    broker = Broker(directory, owner=lasting_owner())
    broker.start()
    environment = {"address": broker.address, "pid": broker.pid, "keeper": broker.keeper.pid,
                   "home": str(broker.home)}
    (directory / "broker.env").write_text(json.dumps(environment) + "\n")
    print(f"broker at {broker.address}, pid {broker.pid}")
    broker.keeper.returncode = 0  # it outlives us on purpose
    return 0


def stop(directory):
    environment = read_environment(directory)
    if environment is None:
        return 0
    with contextlib.suppress(OSError):
        keeper_fd = os.pidfd_open(environment["keeper"])
        with open(f"/proc/{environment['keeper']}/cmdline", "rb") as cmdline:
            is_ours = environment["home"].encode() in cmdline.read()
        if is_ours:
            signal.pidfd_send_signal(keeper_fd, signal.SIGTERM)
            select.select([keeper_fd], [], [], READY_SECONDS)
    with contextlib.suppress(OSError):
        shutil.copy(pathlib.Path(environment["home"]) / "log", directory / "broker.log")  # of the last run
    shutil.rmtree(environment["home"], ignore_errors=True)
    (directory / "broker.env").unlink(missing_ok=True)
    return 0


def client(directory, command):
    environment = read_environment(directory)
    if environment is None:
        print(f"broker.py: no broker has been started in {directory}", file=sys.stderr)
        return 1
    os.environ["SABOT_TEST_BROKER"] = environment["address"]
    os.environ["SABOT_TEST_KAFKA_DIR"] = str(directory)
    os.execvp(command[0], command)
    return 1


def run(directory, command):
    with Broker(directory) as broker:
        environment = dict(os.environ, SABOT_TEST_BROKER=broker.address, SABOT_TEST_KAFKA_DIR=str(directory))
        child = subprocess.Popen(command, env=environment)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _: child.send_signal(got))
        code = child.wait()
        return code if code >= 0 else 128 - code


def drive(directory):
    """For fault tests written in C: they own a broker through two pipes."""
    with_ports = Broker(directory, properties=FAST_RESTART)
    with_ports.reserve()
    verbs = {"where": lambda: None, "start": with_ports.start_reserved, "kill": with_ports.kill,
             "restart": with_ports.restart, "pause": with_ports.pause, "resume": with_ports.resume}
    try:
        for line in sys.stdin:
            verbs[line.strip()]()
            print(f"ok {with_ports.address}", flush=True)
    finally:
        with_ports.stop()
    return 0


def main():
    if len(sys.argv) > 4 and sys.argv[1] == "keep":
        return keep(int(sys.argv[2]), sys.argv[3], sys.argv[5:])
    parser = argparse.ArgumentParser(description="A real Kafka broker for tests.")
    parser.add_argument("--dir", type=pathlib.Path, default=default_dir(), help="work folder (build/kafka)")
    parser.add_argument("verb", choices=["start", "stop", "client", "run", "drive"])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    directory = arguments.dir.resolve()
    command = [word for i, word in enumerate(arguments.command) if i > 0 or word != "--"]
    if arguments.verb in ("client", "run") and not command:
        parser.error(f"{arguments.verb} needs a command")
    try:
        if arguments.verb == "start":
            return start(directory)
        if arguments.verb == "stop":
            return stop(directory)
        if arguments.verb == "drive":
            return drive(directory)
        if arguments.verb == "client":
            return client(directory, command)
        return run(directory, command)
    except BrokerError as error:
        print(f"broker.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
