"""Programs that are started, waited for and ended, whatever happens."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ROOT / "benches" / "peers"
TICKS = os.sysconf("SC_CLK_TCK")


class Trouble(Exception):
    """What went wrong, and what to do about it."""


def target():
    """Where cargo puts release builds."""
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def build():
    """Builds ours and the bare program, in one profile."""
    command = ["cargo", "build", "--release", "--locked", "--features", "peers", "--bins"]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise Trouble("the build failed: " + " ".join(command))
    return target() / "pingora-lab", target() / "bare"


def free_ports(count):
    """Ports of loopback that nobody has now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def descendants(pid):
    """A process and all that came of it."""
    found = [pid]
    for parent in found:
        for task in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pid):
    """Processor time of a process and all that came of it."""
    total = 0
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident(pid):
    """Resident memory of a process and all that came of it, shared pages once, in
    bytes."""
    total = 0
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


class Program:
    """A process in a group of its own, ended with everything that came of it."""

    def __init__(self, command, cpu=None):
        self.log = tempfile.TemporaryFile()
        if cpu is not None:
            command = ["taskset", "-c", str(cpu), *command]
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self.pid = self.process.pid

    def wait_for_port(self, port, limit=60):
        """Until it accepts connections."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Trouble(f"{self.process.args[0]} ended at its start: {self.said()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.02)
        raise Trouble(f"{self.process.args[0]} does not listen on port {port}: {self.said()}")

    def said(self):
        """The end of what it has printed."""
        self.log.seek(0)
        return self.log.read()[-500:].decode(errors="replace").strip()

    def end(self, first=signal.SIGINT):
        """Asks it to end, and sees to it that it does."""
        for number, limit in [(first, 20), (signal.SIGKILL, 20)]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(limit)
                break
        # Whoever outlived the first of the group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def need(*programs):
    """Ends with a sentence where a program is missing."""
    import shutil

    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise Trouble(f"not installed: {', '.join(missing)} (on Debian: apt-get install them)")


def run(main):
    """Runs `main`; trouble is a sentence, not a trace. Whoever ends it by a signal has
    everything ended that it has started."""

    def ended(number, _):
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGHUP, ended)
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"error: {trouble}")
    except KeyboardInterrupt:
        sys.exit(130)
