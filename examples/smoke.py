#!/usr/bin/env python3
"""Makes a tour of a running system: does it run commands, show their lines as they come, stop them, keep secrets?

    examples/smoke.py                    the local system of this folder, or RUNVOY_ENDPOINT and RUNVOY_API_KEY
    examples/smoke.py --stack NAME       a deployed stack, with the AWS CLI and your credentials

Each step says what it saw and how long it took, or what to look at if it failed. What the tour makes it removes, except for the records
of its executions, which are part of the audit trail. It needs the key of an admin; for a stack without RUNVOY_API_KEY it creates an admin
of its own, and revokes it at the end.
"""

import argparse
import base64
import hashlib
import json
import os
import secrets
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

# Seconds. A task on Fargate takes up to a minute to start, and its log a few seconds to come.
PATIENCE = 240
ENDS = ("SUCCEEDED", "FAILED", "STOPPED")
LINES = 100_000
# Bytes.
LONG_LINE = 100_000
IMAGE = "public.ecr.aws/docker/library/alpine:3.22"
REPOSITORY = "https://github.com/octocat/Hello-World"


class Failed(Exception):
    """A step did not see what it should. The second part says what to look at."""

    def __init__(self, what, look_at):
        super().__init__(what)
        self.look_at = look_at


def expect(is_true, what, look_at):
    if not is_true:
        raise Failed(what, look_at)


class Api:
    def __init__(self, endpoint, key):
        self.endpoint = endpoint.rstrip("/")
        self.key = key

    def send(self, method, path, body=None, headers=()):
        """The status, the answer's JSON and its headers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}/api/v1{path}", data, method=method)
        for name, value in {"X-API-Key": self.key or "", "Content-Type": "application/json", **dict(headers)}.items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null"), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}"), error.headers

    def get(self, path):
        return self.ask("GET", path)

    def ask(self, method, path, body=None):
        status, answer, headers = self.send(method, path, body)
        expect(status < 400, f"{method} {path} is answered {status}: {(answer or {}).get('details')}",
               f"`runvoy trace {headers.get('X-Request-Id')}` shows what the request did")
        return answer

    def run(self, command, **others):
        return self.ask("POST", "/run", {"command": command, **others})

    def wait_for_end(self, execution):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            status = self.get(f"/executions/{execution}/status")
            if status["status"] in ENDS:
                return status
            time.sleep(0.2)
        raise Failed(f"{execution} has not ended after {PATIENCE} s", "the task in the ECS console, and the event processor's log: did its events arrive?")

    def log(self, execution):
        """All lines, from all pages, once the log is complete."""
        lines, path = [], f"/executions/{execution}/logs"
        while path:
            status, page, headers = self.send("GET", path)
            expect(status == 200, f"the log is answered {status}", "the orchestrator's log")
            link = headers.get("Link") or ""
            more = 'rel="next"' in link
            lines += page["events"][:-1] if more else page["events"]
            path = link.split(">")[0].lstrip("<").removeprefix("/api/v1") if more else None
        return lines


class Viewer:
    """A WebSocket client: the lines of an execution, with the time at which each came."""

    def __init__(self, url, last_event_id=None, stop_after=None):
        self.url = f"{url}&batch=true" + (f"&last_event_id={last_event_id}" if last_event_id else "")
        self.stop_after = stop_after
        self.lines, self.is_complete, self.problem = [], False, None
        self.is_answered, self.close_code, self.largest = False, None, 0
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def wait(self):
        self.thread.join(PATIENCE)
        if self.problem is None and self.thread.is_alive():
            self.problem = f"nothing for {PATIENCE} s"
        expect(self.problem is None, f"the WebSocket ended early: {self.problem}", "the event processor's log, and API Gateway's")
        return self

    def _watch(self):
        try:
            self._follow()
        except (OSError, ValueError, EOFError) as error:
            self.problem = str(error) or type(error).__name__

    def _follow(self):
        url = urllib.parse.urlsplit(self.url)
        port = url.port or (443 if url.scheme == "wss" else 80)
        connection = socket.create_connection((url.hostname, port), timeout=PATIENCE)
        if url.scheme == "wss":
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=url.hostname)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        connection.sendall(
            f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        stream = connection.makefile("rb")
        answer = stream.readline().decode()
        if " 101 " not in answer:
            raise ValueError(f"the handshake is answered {answer.strip()}")
        while stream.readline().strip():
            pass
        ping = b'{"type":"ping"}'
        connection.sendall(bytes([0x81, 0x80 | len(ping)]) + bytes(4) + ping)
        text = b""
        while True:
            first, second = read(stream, 2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack("!H", read(stream, 2))
            elif length == 127:
                (length,) = struct.unpack("!Q", read(stream, 8))
            payload = read(stream, length)
            kind = first & 0x0F
            self.largest = max(self.largest, length)
            if kind == 8:
                self.close_code = struct.unpack("!H", payload[:2])[0] if length >= 2 else None
                raise EOFError("the server closed it")
            if kind == 9:
                connection.sendall(bytes([0x8A, 0x80 | len(payload)]) + bytes(4) + payload)
            if kind not in (0, 1):
                continue
            text += payload
            if first & 0x80:
                if self._frame(json.loads(text)):
                    connection.close()
                    return
                text = b""

    def _frame(self, frame):
        now = time.time() * 1000
        self.is_answered |= frame.get("type") == "pong"
        for event in frame.get("events", []):
            self.lines.append((event["event_id"], event["message"], now - event["timestamp"]))
        self.is_complete = frame.get("type") == "disconnect"
        return self.is_complete or (self.stop_after and len(self.lines) >= self.stop_after)

    def own(self):
        """The lines of the command, without runvoy's own."""
        return [message for _, message, _ in self.lines if not message.startswith("### runvoy")]


def read(stream, count):
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("the connection is lost")
    return data


class Tour:
    def __init__(self, api, is_local):
        self.api = api
        self.is_local = is_local
        self.undo = []
        self.runs_images = True

    def steps(self):
        return [
            ("health", self.health), ("image", self.image), ("run", self.run), ("two viewers", self.viewers),
            ("reconnect", self.reconnect), ("kill", self.kill), ("timeout", self.timeout), ("secret", self.secret), ("git", self.git),
            ("no such image", self.no_image), (f"{LINES} lines", self.many_lines), ("a long line", self.long_line), ("trace", self.trace), ("reconcile", self.reconcile),
        ]

    def health(self):
        health = self.api.get("/health")
        me = self.api.get("/me")
        expect(me["role"] == "admin", f"{me['email']} is {me['role']}", "use the key of an admin: `just create-admin EMAIL`")
        return f"version {health['version']} in {health['region']}, as {me['email']}"

    def image(self):
        images = self.api.get("/images")["images"]
        if default := next((image for image in images if image["is_default"]), None):
            self.default = default["image_id"]
            return f"{default['image']} is the default"
        self.default = self.api.ask("POST", "/images/register", {"image": IMAGE})["image"]
        registered = next(image for image in self.api.get("/images")["images"] if image["image"] == IMAGE)
        self.default = registered["image_id"]
        self.undo.append(lambda: self.api.ask("DELETE", f"/images/{urllib.parse.quote(self.default, safe='')}"))
        return f"{IMAGE} is registered for this tour"

    def run(self):
        started = self.api.run("echo smoke")
        self.first = started["execution_id"]
        end = self.api.wait_for_end(self.first)
        expect(end["status"] == "SUCCEEDED", f"it ended {end['status']}, {end.get('stopped_reason') or end['exit_code']}", "the task in the ECS console: can the image be pulled, is there a route to the internet?")
        lines = [event["message"] for event in self.api.log(self.first)]
        expect("smoke" in lines, f"the log has {len(lines)} lines, and not the command's", "the log group's subscription filter, and the event processor's log")
        self.runs_images = not any("process runner" in line for line in lines)
        return "SUCCEEDED, exit code 0, its line is in the log"

    def viewers(self):
        started = self.api.run("for i in $(seq 20); do echo line $i; sleep 0.25; done")
        viewers = [Viewer(started["websocket_url"]), Viewer(started["websocket_url"])]
        expected = [f"line {number}" for number in range(1, 21)]
        for viewer in viewers:
            expect(viewer.wait().own() == expected, f"a viewer got {len(viewer.own())} of 20 lines, or in another order", "the event processor's log")
            expect(viewer.is_answered, "a viewer's frame got no answer", "the route $default of the WebSocket API: its integration, and its route response")
        delays = sorted(delay for viewer in viewers for _, message, delay in viewer.lines if message in expected)
        return f"both got 20 lines in order, {delays[len(delays) // 2]:.0f} ms after they were printed, {delays[-1]:.0f} ms at most"

    def reconnect(self):
        started = self.api.run("for i in $(seq 20); do echo line $i; sleep 0.25; done")
        first = Viewer(started["websocket_url"], stop_after=8).wait()
        expect(not first.is_complete, "the execution ended before the viewer had left", "run the tour again")
        second = Viewer(started["websocket_url"], first.lines[-1][0]).wait()
        expect(first.own() + second.own() == [f"line {number}" for number in range(1, 21)],
               f"{len(first.own())} lines before and {len(second.own())} after the reconnection, of 20", "the connections table's stream, and the event processor's log")
        return f"{len(first.own())} lines, left, came back, the other {len(second.own())}"

    def kill(self):
        execution = self.api.run("sleep 600")["execution_id"]
        deadline = time.monotonic() + PATIENCE
        while self.api.get(f"/executions/{execution}/status")["status"] == "STARTING" and time.monotonic() < deadline:
            time.sleep(0.2)
        start = time.monotonic()
        self.api.ask("DELETE", f"/executions/{execution}")
        end = self.api.wait_for_end(execution)
        expect((end["status"], end["exit_code"]) == ("STOPPED", 130), f"it ended {end['status']}, exit code {end['exit_code']}", "the task's stopCode in the ECS console")
        return f"STOPPED {time.monotonic() - start:.1f} s after the request"

    def timeout(self):
        end = self.api.wait_for_end(self.api.run("sleep 600", timeout=2)["execution_id"])
        expect((end["status"], end["exit_code"]) == ("FAILED", 124), f"it ended {end['status']}, exit code {end['exit_code']}", "the execution's log")
        return "FAILED, exit code 124, after its 2 s"

    def secret(self):
        name, value = f"smoke-{secrets.token_hex(4)}", secrets.token_hex(16)
        self.api.ask("POST", "/secrets", {"name": name, "key_name": "SMOKE_SECRET", "value": value})
        self.undo.append(lambda: self.api.ask("DELETE", f"/secrets/{name}"))
        execution = self.api.run('printf %s "$SMOKE_SECRET" | sha256sum', secrets=[name])["execution_id"]
        end = self.api.wait_for_end(execution)
        lines = [event["message"] for event in self.api.log(execution)]
        digest = hashlib.sha256(value.encode()).hexdigest()
        expect(any(line.startswith(digest) for line in lines), f"it ended {end['status']}, {end.get('stopped_reason') or 'without the value'}", "the task execution role: may it read the parameter and use its KMS key?")
        expect(not any(value in line for line in lines), "the value is in the log", "this is a bug in runvoy; please report it")
        return "its value reached the command, and no log"

    def git(self):
        repository, folder = REPOSITORY, None
        if self.is_local:
            folder = tempfile.mkdtemp()
            self.undo.append(lambda: shutil.rmtree(folder))
            git = ["git", "-C", folder, "-c", "user.name=smoke", "-c", "user.email=smoke@example.com"]
            (Path(folder) / "README").write_text("smoke\n")
            for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "smoke"]):
                subprocess.run([*git, *arguments], check=True)
            repository = f"file://{folder}"
            if self.runs_images:
                return "left out: a container does not see a repository of this machine"
        execution = self.api.run("ls; test -f README", git_repo=repository)["execution_id"]
        end = self.api.wait_for_end(execution)
        expect(end["status"] == "SUCCEEDED", f"it ended {end['status']}, exit code {end['exit_code']}", "the execution's log: the sidecar says what git said")
        return f"{repository} is cloned, and the command ran in it"

    def no_image(self):
        name = f"public.ecr.aws/docker/library/runvoy-smoke-{secrets.token_hex(4)}:1"
        self.api.ask("POST", "/images/register", {"image": name, "is_default": False})
        image = next(image["image_id"] for image in self.api.get("/images")["images"] if image["image"] == name)
        self.undo.append(lambda: self.api.ask("DELETE", f"/images/{urllib.parse.quote(image, safe='')}"))
        if not self.runs_images:
            return "left out: the process runner pulls no images"
        end = self.api.wait_for_end(self.api.run("true", image=image)["execution_id"])
        expect(end["status"] == "FAILED" and end.get("stopped_reason"), f"it ended {end['status']}, and no reason is given", "the task's stoppedReason in the ECS console")
        return f"FAILED: {end['stopped_reason'][:100]}"

    def many_lines(self):
        started = self.api.run(f"seq {LINES}")
        viewer = Viewer(started["websocket_url"]).wait()
        expected = [str(number) for number in range(1, LINES + 1)]
        expect(viewer.own() == expected, f"the viewer got {len(viewer.own())} lines, {len(set(viewer.own()))} different ones", "the event processor's log, and its dead-letter queue")
        self.api.wait_for_end(started["execution_id"])
        stored = [event["message"] for event in self.api.log(started["execution_id"]) if not event["message"].startswith("### runvoy")]
        # If a subscription gave other ids than FilterLogEvents, lines would be there twice.
        expect(stored == expected, f"the log has {len(stored)} lines, {len(set(stored))} different ones", "the ids of the events: a line twice has two")
        return "each came once and in order, live and in the log"

    def long_line(self):
        """API Gateway's page of quotas names 32 KB for a frame, and does not say what becomes of a longer message."""
        started = self.api.run(f"head -c {LONG_LINE} /dev/zero | tr '\\0' x; echo; echo after")
        viewer = Viewer(started["websocket_url"])
        viewer.thread.join(PATIENCE)
        end = self.api.wait_for_end(started["execution_id"])
        stored = [event["message"] for event in self.api.log(started["execution_id"]) if not event["message"].startswith("### runvoy")]
        expect(end["status"] == "SUCCEEDED" and stored == ["x" * LONG_LINE, "after"], f"the log has lines of {[len(line) for line in stored]} bytes", "the event processor's log")
        if viewer.is_complete and viewer.own() == stored:
            return f"a line of {LONG_LINE} bytes came as one message, in frames of {viewer.largest} bytes at most"
        # The clients of runvoy then get the line from the API.
        return f"a line of {LONG_LINE} bytes was not sent: the connection ended with code {viewer.close_code} ({viewer.problem})"

    def trace(self):
        request = self.api.get(f"/executions/{self.first}")["created_by_request_id"]
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            trace = self.api.get(f"/trace/{request}")
            if trace["logs"]:
                break
            time.sleep(2)
        found = [one["execution_id"] for one in trace["related_resources"].get("executions", [])]
        expect(self.first in found and trace["logs"], f"{len(trace['logs'])} log lines, executions {found}", "the functions' log groups")
        return f"{len(trace['logs'])} log lines of the first run, and its execution"

    def reconcile(self):
        report = self.api.ask("POST", "/health/reconcile", {})["report"]
        problems = [f"{issue['resource_type']} {issue['resource_id']}: {issue['message']}" for issue in report["issues"]]
        expect(report["error_count"] == 0, f"{report['error_count']} errors: {problems}", "`runvoy health reconcile`")
        return f"{report['reconciled_count']} mended, {len(problems)} to look after" + "".join(f"\n         {one}" for one in problems)


def local_system():
    for folder in [Path.cwd(), *Path.cwd().parents]:
        data = folder / ".runvoy-local"
        if (data / "api-endpoint").exists():
            return (data / "api-endpoint").read_text().strip(), (data / "admin-key").read_text().strip()
    sys.exit("There is no local system in this folder: start it with `just run-local`, or name a stack with --stack.")


def aws(*arguments):
    return subprocess.run(["aws", *arguments], check=True, capture_output=True, text=True).stdout


def deployed_stack(name, undo):
    """The endpoint and the key of a stack. Without a key, an admin is created, whose revocation is added to `undo`."""
    outputs = json.loads(aws("cloudformation", "describe-stacks", "--stack-name", name, "--query", "Stacks[0].Outputs", "--output", "json"))
    outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    endpoint = outputs["ApiUrl"].rstrip("/")
    if key := os.environ.get("RUNVOY_API_KEY"):
        return endpoint, key
    email = f"smoke-{secrets.token_hex(4)}@example.com"
    event = {"source": "runvoy", "detail-type": "Create Admin", "detail": {"email": email}}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "event.json").write_text(json.dumps(event))
        aws("lambda", "invoke", "--function-name", outputs["EventProcessor"], "--payload", f"fileb://{folder}/event.json", f"{folder}/answer.json")
        token = json.loads((Path(folder) / "answer.json").read_text())["claim_path"].rsplit("/", 1)[1]
    key = Api(endpoint, None).get(f"/claim/{token}")["api_key"]
    undo.append(lambda: Api(endpoint, key).ask("POST", "/users/revoke", {"email": email}))
    return endpoint, key


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", metavar="NAME", help="a deployed stack, by its name in CloudFormation")
    arguments = parser.parse_args()
    undo = []
    if arguments.stack:
        endpoint, key = deployed_stack(arguments.stack, undo)
    elif endpoint := os.environ.get("RUNVOY_ENDPOINT"):
        key = os.environ.get("RUNVOY_API_KEY")
    else:
        endpoint, key = local_system()
    print(f"A tour of {endpoint}", flush=True)
    tour = Tour(Api(endpoint, key), urllib.parse.urlsplit(endpoint).hostname in ("localhost", "127.0.0.1", "::1"))
    failed = 0
    for name, step in tour.steps():
        start = time.monotonic()
        try:
            result, saw = "ok", step()
        except Failed as failure:
            result, saw, failed = "FAILED", f"{failure}\n         look at: {failure.look_at}", failed + 1
        except (OSError, KeyError, ValueError) as error:
            result, saw, failed = "FAILED", f"{type(error).__name__}: {error}\n         look at: {endpoint}/api/v1/health", failed + 1
        print(f"{result:<6} {name:<14} {time.monotonic() - start:6.1f} s  {saw}", flush=True)
        if failed and name in ("health", "image", "run"):
            print("The rest of the tour needs this step.")
            break
    for step in [*reversed(tour.undo), *undo]:
        try:
            step()
        except (Failed, OSError) as error:
            print(f"Not removed: {error}")
            failed += 1
    print("All is well." if failed == 0 else f"{failed} steps failed.")
    return 1 if failed else 0


sys.exit(main())
