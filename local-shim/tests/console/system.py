"""A local system for a test: a program of its own, with ports and a folder of its own."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Seconds that anything may take on a machine that does much else. A test that waits this long fails.
PATIENCE = 90


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def program():
    return Path(os.environ.get("RUNVOY_LOCAL_SHIM", ROOT / "target/debug/local-shim"))


class System:
    """The running system. It can be killed and started again, with the same ports and data."""

    def __init__(self, folder, *arguments, websocket_port=None):
        self.folder = Path(folder)
        self.port = free_port()
        self.arguments = arguments
        self.websocket_port = websocket_port
        self.url = f"http://localhost:{self.port}"
        self.start()

    def start(self):
        environment = {
            **os.environ,
            "RUNVOY_DEV_SERVER_PORT": str(self.port),
            "RUNVOY_EVENT_PROCESSOR_PORT": "0",
        }
        if self.websocket_port:
            environment["RUNVOY_WEBSOCKET_API_ENDPOINT"] = f"http://localhost:{self.websocket_port}/ws"
        command = [program(), "--runner", "process", "--aws-port", "off", "--data-dir", self.folder / "data"]
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            [*command, *self.arguments], env=environment, cwd=self.folder, stdout=self.log, stderr=self.log
        )
        wait_until(lambda: self.is_ready() or self.process.poll() is not None, "the system is ready")
        assert self.process.poll() is None, (self.folder / "log").read_text()
        self.key = (self.folder / "data/admin-key").read_text().strip()

    def is_ready(self):
        try:
            return urllib.request.urlopen(f"{self.url}/api/v1/health", timeout=2).status == 200
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE)
        self.log.close()

    def api(self, method, path, body=None, key=None):
        request = urllib.request.Request(f"{self.url}/api/v1{path}", method=method)
        request.add_header("X-API-Key", key or self.key)
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=PATIENCE) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None

    def run(self, command, **others):
        return self.api("POST", "/run", {"command": command, **others})["execution_id"]

    def status(self, execution):
        return self.api("GET", f"/executions/{execution}/status")["status"]

    def wait_for_end(self, execution):
        wait_until(lambda: self.status(execution) in ("SUCCEEDED", "FAILED", "STOPPED"), "the execution has ended")

    def lines(self, execution):
        self.wait_for_end(execution)
        events = []
        wait_until(lambda: events.extend(self.api("GET", f"/executions/{execution}/logs")["events"]) or events, "its log")
        return [event["message"] for event in events]

    def user(self, role, name=None):
        """The API key of a new user."""
        created = self.api("POST", "/users/create", {"email": f"{name or role}@example.com", "role": role})
        return self.api("GET", f"/claim/{created['claim_token']}")["api_key"]


def wait_until(is_true, what):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if is_true():
            return
        time.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


class Relay:
    """Passes connections on to a port, until it is told to cut them."""

    def __init__(self, target):
        self.target = target
        self.port = free_port()
        self.writers = set()
        self.is_open = True
        self.drops = False
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self._serve, args=(started,), daemon=True).start()
        assert started.wait(PATIENCE)

    def _serve(self, started):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", self.port))
        started.set()
        self.loop.run_forever()

    async def _accept(self, reader, writer):
        if not self.is_open:
            return writer.transport.abort()
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target())
        except OSError:
            return writer.transport.abort()
        self.writers |= {writer, target_writer}
        await asyncio.gather(self._pass(reader, target_writer), self._pass(target_reader, writer))
        self.writers -= {writer, target_writer}

    async def _pass(self, reader, writer):
        try:
            while data := await reader.read(65536):
                if self.drops:
                    continue
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    def _abort(self):
        for writer in list(self.writers):
            writer.transport.abort()

    def cut(self):
        """Ends every connection, as a network that changes does."""
        self.loop.call_soon_threadsafe(self._abort)

    def close(self):
        """Takes no connections until it is opened."""
        self.is_open = False
        self.cut()

    def open(self):
        self.is_open = True

    def drop(self):
        """Keeps the connections and drops what they carry, as behind a computer that slept. New ones are refused."""
        self.drops = True
        self.is_open = False

    def pass_on(self):
        """Carries what new connections send. Those of before stay silent."""
        for writer in list(self.writers):
            writer.transport.pause_reading() if hasattr(writer.transport, "pause_reading") else None
        self.drops = False
        self.is_open = True
