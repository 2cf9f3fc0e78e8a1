"""Locks in the console: who holds one and who waits, on the lock's page, on the pages of the runs, and in the list of executions."""

import re

from playwright.sync_api import expect

from system import wait_until


def test_runs_wait_in_line_for_a_lock_that_is_shown_paused_and_set(visit, system):
    page = visit().sign_in("/run")
    first = run_with_lock(page, "echo first holds it; sleep 300", "deploy")
    expect(page.locator("h1")).to_contain_text("Running")
    facts = page.locator(".facts")
    expect(facts.get_by_role("link", name="deploy")).to_be_visible()

    # Without a place in line, the second is refused, and the form says who holds the lock.
    page.goto("/run")
    page.get_by_label("Command", exact=True).fill("echo second")
    page.locator("summary", has_text="Lock").click()
    page.get_by_label("Lock", exact=True).fill("deploy")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text(re.compile(f"deploy.*{first}", re.S)).first).to_be_visible()
    page.get_by_label("Wait in line").check()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("h1")).to_contain_text("Queued")
    expect(page.locator(".waits")).to_have_text("Waits for the lock deploy, place 1 in line. It starts by itself.")
    second = page.url.split("execution_id=")[1]
    third = system.run("echo third", lock="deploy", on_conflict="queue")

    page.goto("/?status=QUEUED")
    rows = page.get_by_role("table", name="Executions").locator("tbody tr:not([hidden])")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Queued")
    expect(rows.first).to_contain_text("waits for lock deploy")

    page.get_by_role("link", name="Locks").click()
    row = page.get_by_role("row", name="deploy")
    expect(row).to_contain_text("1 of 1")
    expect(row).to_contain_text("2 runs")
    row.get_by_role("link", name="deploy").click()
    holders, line = page.get_by_role("table", name="Holders"), page.get_by_role("table", name="In line")
    expect(holders.locator("tbody tr")).to_have_count(1)
    expect(holders).to_contain_text(first)
    expect(line.locator("tbody tr").nth(0)).to_contain_text(second)
    expect(line.locator("tbody tr").nth(1)).to_contain_text(third)
    expect(line.locator("time").first).to_have_text(re.compile("just now|minute"))

    # Nobody gets a lock that is paused, though its holder has ended.
    page.get_by_role("button", name="Pause deploy").click()
    expect(page.locator(".waits")).to_contain_text("Paused")
    system.api("DELETE", f"/executions/{first}")
    expect(page.get_by_text("Nobody holds it.")).to_be_visible()
    expect(line.locator("tbody tr")).to_have_count(2)
    assert [system.status(one) for one in (second, third)] == ["QUEUED", "QUEUED"]

    # The one that leaves the line makes room for the next.
    page.get_by_role("button", name=f"Take out of the line: {second}").click()
    page.get_by_role("dialog").get_by_role("button", name="Take out").click()
    expect(line.locator("tbody tr")).to_have_count(1)
    expect(line).to_contain_text(third)
    assert system.status(second) == "STOPPED"
    page.get_by_role("button", name="Resume deploy").click()
    expect(page.get_by_text("Nobody waits.")).to_be_visible()
    system.wait_for_end(third)
    assert "third" in system.lines(third)

    page.get_by_role("button", name="Change").click()
    for slots, problem in [("0", "from 1 on"), ("1001", "1 to 1000")]:
        page.get_by_label("Slots").fill(slots)
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".problem:visible")).to_contain_text(problem)
    page.get_by_label("Slots").fill("3")
    page.get_by_label("Longest line").fill("5")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".facts").first).to_contain_text("of 3")
    lock = system.api("GET", "/locks/deploy")
    assert (lock["slots"], lock["max_queue"], lock["paused"]) == (3, 5, False)
    expect(page.get_by_role("table", name="Audit of lock:deploy")).to_contain_text("locks:set")

    # What is held is not deleted.
    holder = system.run("sleep 300", lock="deploy")
    delete = page.get_by_role("button", name="Delete", exact=True)
    expect(delete).to_be_disabled()
    system.api("DELETE", f"/executions/{holder}")
    expect(page.get_by_text("Nobody holds it.")).to_be_visible()
    expect(delete).to_be_enabled()
    delete.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile(r"/locks$"))
    expect(page.get_by_text("deploy is deleted")).to_be_visible()
    expect(page.get_by_role("row", name="deploy")).to_have_count(0)


def test_a_run_leaves_the_line_from_its_own_page_and_starts_by_itself(visit, system):
    holder = system.run("sleep 300", lock="turn")
    waiting = [system.run(f"echo {number}", lock="turn", on_conflict="queue") for number in range(2)]
    page = visit().sign_in(f"/logs?execution_id={waiting[1]}")
    expect(page.locator(".waits")).to_contain_text("place 2 in line")
    expect(page.locator(".clock")).to_contain_text("has waited")
    # The empty log says what it waits for.
    expect(page.locator(".log-state")).to_have_text("No line yet: it waits for lock turn")
    system.api("DELETE", f"/executions/{waiting[0]}")
    expect(page.locator(".waits")).to_contain_text("place 1 in line")
    last = system.run("echo last", lock="turn", on_conflict="queue")
    page.get_by_role("button", name="Leave the line").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave the line").click()
    expect(page.locator("h1")).to_contain_text("Stopped")
    expect(page.locator(".waits")).to_have_count(0)

    page.goto(f"/logs?execution_id={last}")
    expect(page.locator(".waits")).to_contain_text("place 1 in line")
    system.api("DELETE", f"/executions/{holder}")
    expect(page.locator("h1")).to_contain_text("Succeeded")
    expect(page.get_by_role("log")).to_contain_text("last")
    wait_until(lambda: system.api("GET", "/locks/turn")["holders"] == [], "the lock is free")


def test_developers_see_locks_and_set_none_and_operators_make_one(visit, system):
    system.api("PUT", "/locks/seen", {"slots": 2})
    page = visit().sign_in("/locks?name=seen", key=system.user("developer", "locks-developer"))
    expect(page.locator(".facts").first).to_contain_text("0 of 2")
    expect(page.get_by_role("button", name="Pause seen")).to_have_count(0)
    expect(page.get_by_role("button", name="Change")).to_have_count(0)

    page = visit().sign_in("/locks", key=system.user("operator", "locks-operator"))
    page.get_by_role("button", name="Make a lock").click()
    page.get_by_label("Name", exact=True).fill("no blanks")
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator(".problem:visible")).to_contain_text("letters, digits")
    page.get_by_label("Name", exact=True).fill("made")
    page.get_by_label("Slots").fill("4")
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.get_by_role("row", name="made")).to_contain_text("0 of 4")
    page.get_by_role("button", name="Pause made").click()
    expect(page.get_by_role("row", name="made")).to_contain_text("Paused")


def run_with_lock(page, command, lock):
    """Runs a command by the form. Returns the execution's id."""
    page.get_by_label("Command", exact=True).fill(command)
    page.locator("summary", has_text="Lock").click()
    page.get_by_label("Lock", exact=True).fill(lock)
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url("**/logs?execution_id=*")
    return page.url.split("execution_id=")[1]
