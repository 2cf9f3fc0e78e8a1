import contextlib
import mimetypes
import os
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from system import PATIENCE, System

# Where the console's files are taken from. Without it, they are those of the program, which has to be built after each change.
FILES = os.environ.get("CONSOLE")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
# Nothing that a browser does of its own accord may reach for the network.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]

if FILES:
    # A file that a test answers with counts as one from the internet, which may not connect to this computer.
    FLAGS.append("--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets")


expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def system(tmp_path_factory):
    system = System(tmp_path_factory.mktemp("system"))
    yield system
    system.stop()


def _serve(route):
    """Answers with a file of the folder."""
    path = Path(FILES) / route.request.url.split("?")[0].split("/", 5)[5]
    route.fulfill(content_type=mimetypes.guess_type(path.name)[0], body=path.read_bytes())


class Visitor:
    """A person at a browser. What goes wrong on a page is kept, and fails the test."""

    def __init__(self, browser, system, **context):
        self.system = system
        usual = {"base_url": system.url, "viewport": {"width": 1280, "height": 800}}
        self.context = browser.new_context(**{**usual, **context})
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=system.url)
        self.context.set_default_timeout(PATIENCE * 1000)
        if FILES:
            self.context.route(re.compile("/console/[0-9a-f]+/"), _serve)
        self.problems = []
        # A server that is down on purpose, and an answer of 400 or more, show in the browser's own list of errors.
        self.expected = ["Failed to load resource", "WebSocket connection to"]
        self.page = self.context.new_page()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))

    def _note(self, message):
        if message.type in ("error", "warning") and not any(text in message.text for text in self.expected):
            self.problems.append(f"{message.type}: {message.text}")

    def sign_in(self, path="/", key=None):
        self.page.goto(path)
        self.page.get_by_label("API key").fill(key or self.system.key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()
        return self.page

    def close(self):
        self.context.close()
        assert self.problems == []


@pytest.fixture
def visit(browser, system):
    """Makes visitors of the system, or of another one."""
    with contextlib.ExitStack() as stack:

        def visit(of=None, **context):
            visitor = Visitor(browser, of or system, **context)
            stack.callback(visitor.close)
            return visitor

        yield visit
