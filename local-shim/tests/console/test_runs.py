"""What people do with runs: see them end, run them once more, choose several, export them, and look at all of them."""

import csv
import io
import json
import re

from playwright.sync_api import expect

from system import System, wait_until


def download(page, button):
    with page.expect_download() as started:
        button.click()
    return started.value


def test_a_run_has_ended_with_its_command_while_its_task_goes_on(visit, tmp_path):
    # With --chaos, a task takes seconds to end after its command, as on Fargate.
    system = System(tmp_path, "--chaos", "3")
    try:
        # The task goes on for seconds only, in which a slow machine may not come to look.
        for _ in range(3):
            execution = system.run("sleep 4; echo at-the-end; exit 3")
            visitor = visit(system)
            page = visitor.sign_in(f"/logs?execution_id={execution}")
            listed = visitor.context.new_page()
            listed.goto("/")
            expect(page.locator("h1")).to_contain_text("exit code 3")
            early = system.status(execution)
            if early in ("RUNNING", "STARTING"):
                break
        expect(page.locator(".log-state")).to_have_text("Complete")
        expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
        expect(listed.get_by_role("row", name="at-the-end").first).to_contain_text("Failed")
        assert early in ("RUNNING", "STARTING"), early
        system.wait_for_end(execution)
        page.wait_for_timeout(6000)
        expect(page.locator("h1")).to_contain_text("Failed")
        expect(page.locator("h1")).to_contain_text("exit code 3")
    finally:
        system.stop()


def test_a_run_is_repeated_with_the_values_that_the_api_has_kept(visit, system):
    developer = system.user("developer", "repeats")
    first = system.api("POST", "/run", {"command": 'echo "place $PLACE"', "env": {"PLACE": "here"}}, key=developer)["execution_id"]
    system.wait_for_end(first)
    # A browser that has never seen the run.
    page = visit().sign_in(f"/logs?execution_id={first}", key=developer)
    page.get_by_role("button", name="Re-run").click()
    page.wait_for_url(lambda url: "execution_id=" in url and first not in url)
    expect(page.get_by_role("log").get_by_text("place here", exact=True)).to_be_visible()
    page.goto(f"/run?again={first}")
    expect(page.get_by_label("Value of the variable")).to_have_value("here")
    # A colleague may not see the values, and is asked for them.
    page = visit().sign_in(f"/logs?execution_id={first}", key=system.user("developer", "colleague"))
    page.get_by_role("button", name="Re-run").click()
    expect(page.get_by_text("You may not see the values")).to_be_visible()
    page.get_by_label("Value of the variable").fill("there")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("log").get_by_text("place there", exact=True)).to_be_visible()
    # A value whose name says that it is a secret is not kept.
    secret = system.run("true", env={"MY_PASSWORD": "hunter2-rerun"})
    page = visit().sign_in(f"/logs?execution_id={secret}")
    page.get_by_role("button", name="Re-run").click()
    expect(page.get_by_text("Enter those of MY_PASSWORD")).to_be_visible()


def test_several_executions_are_stopped_and_run_once_more_from_the_list(visit, system):
    for number in range(3):
        system.run(f": several-{number}; sleep 300")
    page = visit().sign_in("/?q=several-")
    rows = page.get_by_role("row").filter(has_text="several-")
    expect(rows).to_have_count(3)
    for number in range(2):
        page.get_by_label(f"Choose : several-{number}").check()
    chosen = page.get_by_role("group", name="Chosen executions")
    expect(chosen).to_contain_text("2 executions chosen")
    chosen.get_by_role("button", name="Stop 2").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    for number in range(2):
        expect(page.get_by_role("row", name=f"several-{number}")).to_contain_text("Stopped")
    expect(page.get_by_role("row", name="several-2")).to_contain_text(re.compile("Running|Starting"))
    expect(chosen).to_have_count(0)
    for number in range(2):
        page.get_by_label(f"Choose : several-{number}").check()
    chosen.get_by_role("button", name="Re-run 2").click()
    page.get_by_role("dialog").get_by_role("button", name="Run").click()
    expect(rows).to_have_count(5)
    page.get_by_label("Choose : several-2").check()
    expect(chosen).to_contain_text("1 execution chosen")
    for execution in system.api("GET", "/executions?q=several-&limit=10"):
        system.api("DELETE", f"/executions/{execution['execution_id']}")


def test_the_list_is_exported_as_json_and_csv(visit, system):
    for command in ["echo export-me, with a comma", "=1+1 # export-me\nsecond line"]:
        system.wait_for_end(system.run(command))
    page = visit().sign_in("/?q=export-me")
    expect(page.get_by_role("row").filter(has_text="export-me")).to_have_count(2)
    export = page.get_by_role("group", name="Export")
    file = download(page, export.get_by_role("button", name="JSON"))
    assert file.suggested_filename == "executions.json"
    assert {one["command"] for one in json.loads(open(file.path()).read())} == {"echo export-me, with a comma", "=1+1 # export-me\nsecond line"}
    rows = list(csv.DictReader(io.StringIO(open(download(page, export.get_by_role("button", name="CSV")).path(), newline="").read())))
    assert sorted(row["command"] for row in rows) == ["'=1+1 # export-me\nsecond line", "echo export-me, with a comma"]


def test_commands_and_keys_are_found_by_the_keyboard(visit, system):
    execution = system.run("echo from-the-palette; : " + "x" * 300)
    page = visit(color_scheme="light").sign_in()
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Command or text")
    field.fill("secre")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Secrets")
    page.keyboard.press("Control+k")
    field.fill("from-the-palette")
    option = page.get_by_role("option", name="echo from-the-palette")
    # A long command leaves room for how it went.
    assert option.locator(".hint").bounding_box()["height"] < 30
    option.click()
    page.wait_for_url(f"**/logs?execution_id={execution}")
    page.keyboard.press("Control+k")
    field.fill("dark")
    page.keyboard.press("Enter")
    dark = "getComputedStyle(document.documentElement).colorScheme"
    assert page.evaluate(dark) == "dark"
    page.reload()
    expect(page.locator("h1").first).to_be_visible()
    assert page.evaluate(dark) == "dark"
    page.get_by_label("Colours").select_option("As the device")
    assert page.evaluate(dark) == "light dark"
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Find in a log")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_overview_shows_what_fails_most_and_who_runs_what(visit, tmp_path):
    system = System(tmp_path)
    try:
        for command in ["exit 4", "exit 4", "exit 5", "true", "true"]:
            system.wait_for_end(system.run(command))
        page = visit(system).sign_in("/overview")
        expect(page.get_by_role("status").filter(has_text="5 executions")).to_be_visible()
        expect(page.get_by_role("link", name="Succeeded 40 %")).to_be_visible()
        fails = page.locator("figure", has_text="What fails most").locator("li")
        expect(fails.first).to_contain_text("exit 4")
        expect(fails.first).to_contain_text("2 failures")
        expect(page.locator("figure", has_text="Who runs what")).to_contain_text("5 runs")
        expect(page.get_by_role("img", name="Runs an hour")).to_be_visible()
        title = page.get_by_role("img", name="Runs an hour").locator("title").last
        assert title.text_content().endswith("2 succeeded, 3 failed")
        holder = system.run("sleep 300", lock="overview")
        system.run("true", lock="overview", on_conflict="queue")
        wait_until(lambda: system.status(holder) == "RUNNING", "it runs")
        page.reload()
        expect(page.locator(".tile", has_text="Running")).to_have_text("Running1")
        expect(page.locator(".tile", has_text="Waiting")).to_have_text("Waiting1")
        fails.first.get_by_role("link").click()
        expect(page.get_by_role("row").filter(has_text="exit 4")).to_have_count(2)
        expect(page.get_by_role("row", name="exit 5")).to_have_count(0)
    finally:
        system.stop()


def test_a_trace_is_read_as_levels_messages_and_fields(visit, system):
    execution = system.run("echo read-the-trace")
    system.wait_for_end(execution)
    request = system.api("GET", f"/executions/{execution}")["created_by_request_id"]
    wait_until(lambda: system.api("GET", f"/trace/{request}")["logs"], "its lines")
    page = visit().sign_in(f"/operations?request={request}")
    lines = page.get_by_role("table", name="Log lines")
    expect(lines.get_by_role("row").nth(1)).to_contain_text("info")
    expect(lines.locator("dt").first).to_be_visible()
    assert "{" not in lines.get_by_role("row").nth(1).locator("td").nth(2).locator("span").first.inner_text()


def test_an_image_is_registered_for_the_machines_of_the_system(visit, system):
    usual = next(one for one in system.api("GET", "/images")["images"] if one["is_default"])
    page = visit().sign_in("/images")
    expect(page.get_by_label("Platform")).to_have_value(usual["runtime_platform"])


def test_a_run_is_attempted_as_the_form_says_and_its_page_lists_the_attempts(visit, system):
    page = visit().sign_in("/run")
    page.get_by_label("Command", exact=True).fill("echo tried; exit 3")
    page.locator("summary", has_text="Retry").click()
    page.get_by_label("Attempts").fill("some")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("Enter a whole number.")).to_be_visible()
    page.get_by_label("Attempts").fill("2")
    page.get_by_label("Pause").fill("20m")
    page.get_by_label("the command fails").check()
    page.get_by_role("button", name="Run", exact=True).click()

    # Between two attempts it waits, and is no run that has never begun.
    page.wait_for_url("**/logs?execution_id=*")
    first = page.url.split("execution_id=")[1]
    expect(page.locator("h1")).to_contain_text("Queued")
    expect(page.locator(".waits")).to_contain_text("which begins at")
    expect(page.locator(".attempts li")).to_have_count(1)
    expect(page.locator(".attempts li")).to_contain_text("exit code 3")
    expect(page.get_by_text("2 attempts")).to_be_visible()
    assert system.api("GET", f"/executions/{first}")["retry"] == {"attempts": 2, "on": ["exit"], "backoff": 1200}
    page.get_by_role("button", name="Stop", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("no other will begin")
    dialog.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("h1")).to_contain_text("Stopped")
    expect(page.get_by_role("log")).to_contain_text("the execution ended before its next attempt")

    # The form has what was asked, and the next one goes through all its attempts.
    page.get_by_role("button", name="Edit and run").click()
    expect(page.get_by_label("Attempts")).to_have_value("2")
    expect(page.get_by_label("Pause")).to_have_value("1200s")
    expect(page.get_by_label("the command fails")).to_be_checked()
    page.get_by_label("Pause").fill("1s")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(lambda url: "execution_id=" in url and first not in url)
    expect(page.locator("h1")).to_contain_text("exit code 3")
    expect(page.locator(".attempts li")).to_have_count(1)
    expect(page.get_by_role("log")).to_contain_text("attempt: 2 of 2 begins after attempt 1 failed")
