"""Schedules in the console: a form that says an expression in words, the next times on two clocks, and what became of the last ones."""

import re

from playwright.sync_api import expect


def test_a_schedule_is_created_explained_paused_run_and_deleted(visit):
    page = visit(timezone_id="America/New_York").sign_in("/schedules")
    page.get_by_role("button", name="Create a schedule").click()
    page.get_by_label("Name", exact=True).fill("nightly")
    when, words = page.get_by_label("When", exact=True), page.locator(".words")
    for typed, said in [
        ("30 2 * *", "…"), ("30 2 * * 1-5", "At 02:30, on Monday to Friday."), ("0 18 L * *", "At 18:00, on the last day of the month."),
        ("0 8 * * MON#1", "At 08:00, on the first Monday of the month."), ("*/15 * * * *", "Every 15 minutes."), ("0 0 13 * 5", "…"),
    ]:
        when.fill(typed)
        expect(words).to_have_text(said)
    expect(page.get_by_label("Time zone")).to_have_value("America/New_York")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_label("Command", exact=True).fill("echo by the clock")
    page.get_by_role("button", name="Create", exact=True).click()
    # The server says what it cannot express, at its field.
    expect(page.get_by_text(re.compile("crontab runs on either"))).to_be_visible()
    when.fill("30 2 * * 1-5")
    page.get_by_role("button", name="Create", exact=True).click()
    row = page.get_by_role("row", name="nightly")
    expect(row).to_contain_text("At 02:30, on Monday to Friday")
    expect(row).to_contain_text("none yet")
    row.get_by_role("link", name="nightly").click()

    times = page.get_by_role("table", name="Next times")
    expect(times.get_by_role("row")).to_have_count(6)
    expect(times).to_contain_text("Your time, America/New_York")
    expect(times).to_contain_text("2:30 AM")
    page.get_by_role("button", name="Pause nightly").click()
    expect(page.get_by_role("heading", name="Next times, if it were not paused")).to_be_visible()
    page.get_by_role("button", name="Run nightly now").click()
    expect(page.locator("h1")).to_contain_text("Succeeded")
    expect(page.get_by_role("log")).to_contain_text("by the clock")

    page.get_by_role("link", name="Schedules").click()
    expect(page.get_by_role("row", name="nightly")).to_contain_text("paused")
    page.get_by_role("button", name="Resume nightly").click()
    expect(page.get_by_role("row", name="nightly")).not_to_contain_text("paused")
    page.get_by_role("button", name="Delete nightly").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There are no schedules yet.")).to_be_visible()


def test_the_last_times_are_a_row_of_marks_that_lead_to_the_executions(visit, system):
    system.api("POST", "/schedules", {"name": "often", "rate": "1 day", "run": {"command": "exit 3"}})
    page = visit().sign_in("/schedules?name=often")
    last = page.get_by_role("table", name="Last times")

    def is_over():
        page.reload()
        return last.get_by_text("Failed").count() > 0

    page.wait_for_timeout(200)
    for _ in range(50):
        if is_over():
            break
        page.wait_for_timeout(200)
    expect(last).to_contain_text("Failed")
    page.get_by_role("link", name="Schedules").first.click()
    mark = page.locator(".mark")
    expect(mark).to_have_count(1)
    expect(mark).to_have_attribute("data-status", "FAILED")
    mark.click()
    expect(page.locator("h1")).to_contain_text("Failed")
    system.api("DELETE", "/schedules/often")
