"""Every page, light and dark, wide and narrow: axe-core finds nothing, and nothing is wider than the window."""

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from system import ROOT

AXE = Path(os.environ.get("AXE", ROOT / "target/ci/console/node_modules/axe-core/axe.min.js"))
# Names and texts as long as the API takes them, without a place to break them.
LONG = "a-name-that-" + "has-no-place-to-break-" * 2
PAGES = ["/", "/run", "/playbooks", "/playbooks?edit=", "/playbooks?name=axe", f"/playbooks?name={LONG}", "/schedules", "/locks", "/locks?name=axe", "/images", "/secrets", "/users", "/overview", "/audit", "/keys", "/operations", "/notifications", "/notifications?name=axe", "/outbox", "/docs", "/no-such-page"]
# What the API takes in names and descriptions, and what only a command may have besides.
TEXT = "<img src=x onerror=alert(1)>" + "x" * 300
HOSTILE = "\x1b[31m\u202e" + TEXT


# Short words that a cell shows on two lines.
BROKEN = """() => [...document.querySelectorAll("td")].flatMap((cell) => {
  const found = [], texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), range = document.createRange();
  for (let text; (text = texts.nextNode());) for (const { 0: word, index } of text.data.matchAll(/(?<!\\S)\\w{2,12}(?!\\S)/g)) {
    range.setStart(text, index), range.setEnd(text, index + word.length);
    if (new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1) found.push(word);
  }
  return found;
})"""


# Phones, a tablet, a laptop and a large screen.
WIDTHS = [320, 390, 768, 1280, 1920]
# What people act on or read, and is beyond the edge of the window.
BEYOND = """() => [...document.querySelectorAll("button, input, select, textarea, h1, h2, td, dd, p")].filter((one) => {
  const { right, left, width } = one.getBoundingClientRect();
  return width > 0 && one.checkVisibility() && !one.closest("[role=log], .unseen, pre") && (right > innerWidth + 1 || left < -1);
}).map((one) => one.outerHTML.slice(0, 120))"""


def violations(page):
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [f"{one['id']}: {[node['html'][:200] for node in one['nodes']]}" for one in found]


def outside(page, usual):
    """Says at which widths the page scrolls sideways, and which elements are cut that cannot be scrolled."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        # The styles of a width are there with the second frame.
        overflow = page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(document.documentElement.scrollWidth - innerWidth))))")
        if overflow > 0:
            found.append(f"{overflow} pixels are outside a window of {width}")
        if beyond := page.evaluate(BEYOND):
            found.append(f"outside a window of {width} are {beyond}")
    page.set_viewport_size({"width": usual, "height": 800})
    return found


@pytest.mark.parametrize("width", [1280, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(visit, system, scheme, width, tmp_path):
    name = f"{scheme}-{width}"
    system.api("POST", "/secrets", {"name": f"axe-{name}", "key_name": "AXE", "value": "x"})
    system.api("POST", "/secrets", {"name": f"{LONG}{name}", "key_name": LONG.upper().replace("-", "_"), "value": "x", "description": TEXT})
    system.api("PUT", f"/locks/{LONG}", {"slots": 2})
    system.api("PUT", f"/playbooks/{LONG}", {"description": TEXT, "commands": ["exit 3 #" + HOSTILE], "parameters": [{"name": "A", "label": TEXT[:128], "required": False}]})
    system.wait_for_end(system.api("POST", f"/playbooks/{LONG}/run", {"parameters": {}})["execution_id"])
    if name == "light-1280":
        system.api("POST", "/notifications", {"name": "axe", "channel": {"webhook": {"url": f"https://example.com/{'x' * 200}"}}, "on": ["failed"]})
        system.api("POST", "/notifications/axe/test")
        system.api("POST", "/notifications", {"name": LONG, "channel": {"email": {"address": f"{LONG}@example.com"}}})
    system.api("PUT", "/locks/axe", {"slots": 2})
    system.api("POST", "/run", {"command": "echo held", "lock": "axe"})
    parameters = [{"name": "STAGE", "type": "choice", "allowed": ["test", "live"]}, {"name": "ZONES", "type": "choices", "allowed": ["a", "b"]},
                  {"name": "DRY", "type": "boolean"}, {"name": "NOTE", "type": "text", "description": "Why"}, {"name": "DAY", "type": "date", "required": False}]
    system.api("PUT", "/playbooks/axe", {"description": "For the checker", "commands": ["echo $NOTE"], "parameters": parameters})
    system.api("POST", "/playbooks/axe/run", {"parameters": {"STAGE": "test", "ZONES": ["a"], "DRY": True, "NOTE": "x"}})
    execution = system.run("printf '\\033[31mred\\033[0m \\033[32mgreen\\033[0m \\033[33myellow\\033[0m \\033[90mgrey\\033[0m\\n'; echo plain; exit 3")
    # Trusted Types would refuse the text of the checker.
    visitor = visit(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    page = visitor.page
    page.goto("/")
    expect(page.get_by_label("API key")).to_be_visible()
    problems = {"/sign-in": violations(page)}
    visitor.sign_in()
    created = system.api("POST", "/users/create", {"email": f"{name}@example.com", "role": "viewer"})
    for path in [*PAGES, f"/secrets?name=axe-{name}", f"/users?email={name}@example.com", f"/logs?execution_id={execution}", f"/claim/{created['claim_token']}"]:
        page.goto(path)
        expect(page.locator("h1").first).to_be_visible()
        page.wait_for_load_state("networkidle")
        problems[path] = violations(page)
        if broken := page.evaluate(BROKEN):
            problems[path].append(f"words that are broken: {broken}")
        problems[path] += outside(page, width)
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{name}{re.sub('[^a-z]+', '-', path)}.png", full_page=True)
    page.get_by_role("button", name="Claim the key").click()
    expect(page.get_by_label("API key")).to_be_visible()
    problems["/claimed"] = violations(page)
    found = [f"{path}: {one}" for path, all in problems.items() for one in all]
    assert not found, "\n".join(found)
