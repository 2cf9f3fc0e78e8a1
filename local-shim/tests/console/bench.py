"""Measures the log viewer with a million lines: how long the page's own thread is busy, memory, drawing, and finding."""

import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from conftest import CHROMIUM, FLAGS
from system import System

LINES = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
TEXT = "of a log whose lines have about a hundred characters each, as the lines of many logs do"
# Long tasks, and the time between drawn frames, as the page sees them.
WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((one) => one.duration))).observe({ type: "longtask" });
"""
SCROLL = """async (pixels) => {
    const box = document.querySelector("[role=log]");
    box.scrollTop = 0;
    await new Promise((resolve) => setTimeout(resolve, 300));
    const start = performance.now();
    let [frames, longest, last, empty] = [0, 0, start, 0];
    while (last - start < 3000) {
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        [longest, last, frames] = [Math.max(longest, now - last), now, frames + 1];
        const { top, bottom } = box.getBoundingClientRect();
        const lines = document.querySelector(".log-lines").getBoundingClientRect();
        if (lines.top > top + 1 || lines.bottom < bottom - 1) empty += 1;
        box.scrollTop += pixels;
    }
    return { rate: frames / 3, longest, empty };
}"""


def memory():
    """MB that the largest process of a page takes."""
    sizes = [0]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "--type=renderer" in (process / "cmdline").read_text():
                sizes.append(int(re.search(r"VmRSS:\s+(\d+)", (process / "status").read_text())[1]) // 1024)
        except (OSError, TypeError):
            pass
    return max(sizes)


def row(what, value):
    print(f"{what:<55} {value}", flush=True)


def bench(system, page):
    page.add_init_script(WATCH)
    page.goto(system.url)
    page.get_by_label("API key").fill(system.key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()
    execution = system.run(f"seq -f 'line %.0f {TEXT}' {LINES}")
    start = time.monotonic()
    page.goto(f"/logs?execution_id={execution}")
    page.locator("[data-line]").first.wait_for()
    row("first line on the page", f"{(time.monotonic() - start) * 1000:.0f} ms")
    most = 0
    while f"{LINES:,}" > page.locator(".log-counts").inner_text() or page.locator(".log-state").inner_text() != "Complete":
        most = max(most, memory())
        time.sleep(0.1)
        arrived = page.locator(".log-counts").inner_text().split(" ")[0].replace(",", "")
        if arrived and int(arrived) < LINES:
            last = time.monotonic()
    row(f"{LINES} lines arrived, lines a second", f"{LINES / (last - start):.0f}")
    longest = lambda: max(page.evaluate("longTasks.splice(0)"), default=0)
    row("longest task of the page while they arrived", f"{longest():.0f} ms")
    row("most memory of the page's process", f"{most} MB")
    for pixels in [40, 400, 4000]:
        scrolled = page.evaluate(SCROLL, pixels)
        row(
            f"scrolling {pixels} pixels a frame",
            f"{scrolled['rate']:.0f} frames/s, longest {scrolled['longest']:.0f} ms, {scrolled['empty']} with a gap",
        )
    for text, is_pattern in [("line 99999", False), ("9{4}7 of", True)]:
        if is_pattern:
            page.get_by_role("button", name="Regular expression").click()
        start = time.monotonic()
        page.get_by_label("Find in the log").fill(text)
        while not re.search(r"of [\d,]+$", found := page.locator(".find-count").inner_text()):
            time.sleep(0.01)
        row(f"find {'/' + text + '/' if is_pattern else text} in all lines", f"{(time.monotonic() - start) * 1000:.0f} ms ({found})")
    row("longest task of the page while scrolling and finding", f"{longest():.0f} ms")
    start = time.monotonic()
    page.reload()
    while page.locator(".log-state").inner_text() != "Complete":
        time.sleep(0.02)
    row("the same log, read after its end", f"{(time.monotonic() - start) * 1000:.0f} ms")
    row("longest task of the page meanwhile", f"{longest():.0f} ms")


def main():
    folder = tempfile.mkdtemp()
    system = System(folder)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            bench(system, browser.new_page(base_url=system.url, viewport={"width": 1280, "height": 800}))
            browser.close()
    finally:
        system.stop()
        shutil.rmtree(folder)


main()
