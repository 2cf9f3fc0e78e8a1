"""The console as people use it, page by page."""

import re
import urllib.request
from functools import partial

import pytest
from playwright.sync_api import expect

from system import System


def test_a_command_is_run_watched_searched_stopped_and_run_again(visit):
    page = visit().sign_in()
    page.get_by_role("link", name="Run a command").click()
    page.get_by_label("Command", exact=True).fill("for i in $(seq 500); do echo \"number $i\"; done\nsleep 60")
    page.get_by_label("Command", exact=True).press("Control+Enter")
    log = page.get_by_role("log")
    expect(log.locator('[data-line]', has_text=re.compile("^number 500$"))).to_be_visible()
    expect(page.locator("h1")).to_contain_text("Running")
    assert "/logs?execution_id=" in page.url

    page.keyboard.press("Control+f")
    page.get_by_label("Find in the log").fill("NUMBER 49")
    # The first from what is in view on: the end.
    expect(page.locator(".find-count")).to_have_text("2 of 11")
    expect(log.locator("mark.current")).to_have_text("number 49")
    page.get_by_label("Find in the log").press("Enter")
    expect(page.locator(".find-count")).to_have_text("3 of 11")
    for place in ["2 of 11", "1 of 11", "11 of 11"]:
        page.get_by_label("Find in the log").press("Shift+Enter")
        expect(page.locator(".find-count")).to_have_text(place)
    page.get_by_role("button", name="Match case").click()
    expect(page.locator(".find-count")).to_have_text("no match")
    page.get_by_role("button", name="Match case").click()
    page.get_by_role("button", name="Regular expression").click()
    page.get_by_label("Find in the log").fill("number (7|8)0$")
    expect(page.locator(".find-count")).to_have_text("1 of 2")
    page.get_by_label("Find in the log").fill("(")
    expect(page.locator(".find-count")).to_have_text("not a regular expression")
    page.get_by_label("Find in the log").press("Escape")

    # A link to lines, in another tab of the same person.
    line = log.locator("[data-line]", has_text=re.compile("^number [0-9]+$")).first
    number = int(line.get_attribute("data-line"))
    line.get_by_role("link", name=f"Line {number}").click()
    log.locator(f'[data-line="{number + 2}"]').get_by_role("link").click(modifiers=["Shift"])
    assert page.url.endswith(f"#L{number}-L{number + 2}")
    expect(log.locator(".selected")).to_have_count(3)

    page.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.locator("h1")).to_contain_text("Stopped")
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.locator(".log-state")).to_have_text("Complete")

    page.reload()
    expect(log.locator(".selected")).to_have_count(3)
    expect(log.locator(f'[data-line="{number}"]')).to_be_in_viewport()

    page.get_by_role("button", name="Edit and run").click()
    expect(page.get_by_label("Command", exact=True)).to_have_value(re.compile("^for i in"))
    page.get_by_label("Command", exact=True).fill("echo again")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("h1")).to_contain_text("Succeeded")
    expect(log.get_by_text("again", exact=True)).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.goto("/")
    expect(page.get_by_label("API key")).to_be_visible()


def test_the_list_updates_filters_and_obeys_the_keyboard(visit, system):
    first = system.run("echo the-first-one")
    page = visit().sign_in()
    row = page.get_by_role("row", name="the-first-one")
    expect(row).to_contain_text("Succeeded")
    failed = system.run("echo the-second-one; exit 7")
    expect(page.get_by_role("row", name="the-second-one")).to_contain_text("exit code 7")
    rows = page.get_by_role("row").filter(has_text="one")
    expect(rows.first).to_contain_text("the-second-one")

    page.keyboard.press("/")
    page.keyboard.type("first-one")
    expect(page.get_by_role("row", name="the-second-one")).to_have_count(0)
    assert "q=first-one" in page.url
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/logs?execution_id={first}")
    page.go_back()
    expect(page.get_by_label("Filter by text")).to_have_value("first-one")
    page.get_by_label("Filter by text").fill("")
    page.get_by_label("Status", exact=True).select_option("FAILED")
    expect(page.get_by_role("row", name="the-second-one")).to_be_visible()
    expect(page.get_by_role("row", name="the-first-one")).to_have_count(0)
    page.get_by_label("Mine").check()
    expect(page.get_by_role("row", name="the-second-one")).to_be_visible()
    # The address that earlier links have.
    page.goto(f"/?execution_id={failed}")
    expect(page.locator("h1")).to_contain_text("exit code 7")


def test_more_executions_than_a_page_are_shown_as_one_scrolls(visit, system):
    for number in range(60):
        system.run(f": scroll-{number}")
    page = visit().sign_in("/?q=scroll-")
    rows = page.get_by_role("row").filter(has_text="scroll-")
    expect(rows).to_have_count(50)
    rows.last.scroll_into_view_if_needed()
    expect(rows).to_have_count(60)


def test_a_search_says_how_far_it_went_and_goes_on_when_asked(visit):
    page = visit().sign_in()
    asked = set()

    def nothing(route):
        """Pages of a long history in which nothing is found."""
        number = int((re.search("cursor=page-([0-9]+)", route.request.url) or [0, 0])[1])
        asked.add(number)
        older = {"Link": f'</api/v1/executions?cursor=page-{number + 1}&q=rare>; rel="next"', "X-Searched-Since": f"2026-01-{30 - number:02}T12:00:00Z"}
        route.fulfill(json=[], headers={"X-Request-Id": f"request-{number}", **(older if number < 6 else {})})

    page.route(re.compile("/api/v1/executions\\?.*q=rare"), nothing)
    page.get_by_label("Filter by text").fill("rare")
    end = page.locator(".list-end")
    expect(end).to_contain_text("Searched back to Jan 26, 2026")
    assert asked == set(range(5))
    end.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("No execution matches the filter.")).to_be_visible()
    assert asked == set(range(7))
    # What the list asks for again and again begins no new search.
    for _ in range(2):
        page.wait_for_event("response", lambda response: "q=rare" in response.url and "cursor" not in response.url)
    expect(page.get_by_text("No execution matches the filter.")).to_be_visible()


def test_what_the_server_refuses_is_shown_at_its_field(visit):
    page = visit().sign_in("/run")
    run = page.get_by_role("button", name="Run", exact=True)
    run.click()
    expect(page.get_by_label("Command", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Command", exact=True).fill("true")
    page.get_by_label("Image").fill("not-registered:1")
    run.click()
    expect(page.get_by_label("Image")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Image")).to_have_accessible_description(re.compile("not-registered"))
    page.get_by_label("Image").fill("")
    page.get_by_role("button", name="Add a variable").click()
    page.get_by_label("Name of the variable").fill("not a name")
    run.click()
    expect(page.get_by_role("group", name="Variables")).to_have_accessible_description(re.compile("not a name"))
    page.get_by_label("Name of the variable").fill("NAME")
    page.get_by_text("Git repository").click()
    page.get_by_label("Repository", exact=True).fill("no-url")
    run.click()
    expect(page.get_by_label("Repository", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Repository", exact=True).fill("")
    page.get_by_label("Timeout").fill("soon")
    run.click()
    expect(page.get_by_label("Timeout")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Timeout").fill("99d")
    page.get_by_label("Timeout").fill("9999999")
    run.click()
    expect(page.get_by_label("Timeout")).to_have_accessible_description(re.compile("604800"))
    page.get_by_label("Timeout").fill("")
    page.get_by_label("Command", exact=True).fill("# " + "x" * 8200)
    run.click()
    expect(page.get_by_label("Command", exact=True)).to_have_attribute("aria-invalid", "true")
    # The meter says about what the server says.
    refused = page.get_by_label("Command", exact=True).evaluate("field => document.getElementById(`${field.id}-problem`).textContent")
    counted = int(re.search(r"need (\d+) characters", refused)[1])
    shown = int(page.locator(".meter .hint").inner_text().split(" ")[1].replace(",", ""))
    assert abs(counted - shown) <= 60, (refused, shown)


def test_no_field_depends_on_the_words_of_a_refusal(visit):
    page = visit().sign_in("/run")

    def reword(route):
        answer = route.fetch()
        if answer.status < 400:
            return route.fulfill(response=answer)
        body = {**answer.json(), "error": "Words.", "details": "Other words.", "hint": "A hint."}
        return route.fulfill(response=answer, json=body)

    page.route("**/api/v1/**", reword)

    def refused(label, button):
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_label(label, exact=True)).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_label(label, exact=True)).to_have_accessible_description(re.compile("ords"))

    page.get_by_label("Command", exact=True).fill("true")
    page.get_by_label("Image").fill("not-registered:1")
    refused("Image", "Run")
    page.get_by_label("Image").fill("")
    page.get_by_label("Timeout").fill("9999999")
    refused("Timeout", "Run")
    page.get_by_label("Timeout").fill("")
    page.get_by_text("Git repository").click()
    page.get_by_label("Repository", exact=True).fill("no-url")
    refused("Repository", "Run")
    page.goto("/images")
    page.get_by_label("Image", exact=True).fill("no image")
    refused("Image", "Register")
    page.goto("/secrets")
    page.get_by_label("Name", exact=True).fill("reworded")
    page.get_by_label("Variable", exact=True).fill("not a name")
    page.get_by_label("Value", exact=True).fill("x")
    refused("Variable", "Create")


def test_images_are_registered_and_removed(visit):
    page = visit().sign_in("/images")
    page.get_by_label("Image", exact=True).fill("example/tool:1.2")
    page.get_by_label("CPU").select_option("1024")
    page.get_by_label("Memory").select_option("4096")
    page.get_by_role("button", name="Register").click()
    row = page.get_by_role("row", name="example/tool:1.2")
    expect(row).to_contain_text("1 vCPU, 4096 MiB")
    page.locator("summary", has_text="Roles").click()
    page.get_by_label("Image", exact=True).fill("example/other:1")
    page.get_by_label("Task role").fill("no-such-role")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_label("Task role")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Task role").fill("")
    page.get_by_label("Security groups").fill("sg-1, sg-2")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_label("Security groups")).to_have_attribute("aria-invalid", "true")
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)


def test_secrets_are_created_shown_changed_used_and_deleted(visit):
    page = visit().sign_in("/secrets")
    page.get_by_label("Name", exact=True).fill("walk-secret")
    page.get_by_label("Variable", exact=True).fill("not a name")
    page.get_by_label("Value", exact=True).fill("hunter2-walk")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_label("Variable", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Variable", exact=True).fill("WALK_SECRET")
    page.get_by_role("button", name="Create").click()
    row = page.get_by_role("row", name="walk-secret")
    expect(row).to_contain_text("WALK_SECRET")
    assert "hunter2-walk" not in page.content()
    row.get_by_role("button", name="Show").click()
    expect(row).to_contain_text("hunter2-walk")
    row.get_by_role("button", name="Hide").click()
    expect(row).not_to_contain_text("hunter2-walk")
    row.get_by_role("button", name="Change").click()
    page.get_by_label("Description").fill("for the walk")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(row).to_contain_text("for the walk")

    page.get_by_role("link", name="Run", exact=True).click()
    page.get_by_label("Command", exact=True).fill('test "$WALK_SECRET" = hunter2-walk && echo it is there')
    page.get_by_label("walk-secret").check()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("log").get_by_text("it is there", exact=True)).to_be_visible()

    page.get_by_role("link", name="Secrets").click()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_a_user_is_created_claims_the_key_by_a_button_and_is_revoked(visit, system):
    page = visit().sign_in("/users")
    page.get_by_label("Email").fill("walker@example.com")
    page.get_by_label("Role").select_option("viewer")
    page.get_by_role("button", name="Create").click()
    link = page.get_by_label("Claim link").inner_text()
    assert link.startswith(f"{system.url}/claim/")
    # A preview of the link claims nothing.
    for _ in range(3):
        assert urllib.request.urlopen(link).status == 200

    claiming = visit()
    walker = claiming.page
    walker.goto(link)
    walker.get_by_role("button", name="Claim the key").click()
    key = walker.get_by_label("API key").inner_text()
    assert system.api("GET", "/me", key=key)["email"] == "walker@example.com"
    walker.get_by_role("button", name="Copy").click()
    expect(walker.get_by_text("copied").first).to_be_visible()
    assert walker.evaluate("navigator.clipboard.readText()") == key
    walker.get_by_role("button", name="Use it here").click()
    expect(walker.get_by_text("walker@example.com")).to_be_visible()
    # Another tab of the same browser has the key, too.
    other = claiming.context.new_page()
    other.goto("/")
    expect(other.get_by_text("walker@example.com")).to_be_visible()
    other.close()
    walker.goto(link)
    walker.get_by_role("button", name="Claim the key").click()
    expect(walker.get_by_role("alert")).to_contain_text("already been claimed")

    page.get_by_role("button", name="Revoke walker@example.com").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("row", name="walker@example.com")).to_contain_text("revoked")
    walker.goto("/")
    expect(walker.get_by_role("alert")).to_contain_text("revoked")


EVERY_PLACE = ["Executions", "Overview", "Run", "Images", "Secrets", "Users", "Audit", "Operations", "Keys", "API"]


@pytest.mark.parametrize(
    ("role", "places"),
    [
        ("admin", EVERY_PLACE),
        ("operator", ["Executions", "Overview", "Run", "Images", "Secrets", "Users", "Operations", "Keys", "API"]),
        ("developer", ["Executions", "Overview", "Run", "Images", "Secrets", "Keys", "API"]),
        ("viewer", ["Executions", "Overview", "Keys", "API"]),
    ],
)
def test_each_role_sees_what_it_may_use(visit, system, role, places):
    execution = system.run("echo of the admin")
    system.wait_for_end(execution)
    page = visit().sign_in(key=system.user(role))
    nav = page.get_by_role("navigation", name="Console").get_by_role("link")
    expect(nav.last).to_have_text("API")
    # Places of other pages have walks of their own.
    assert [name for name in nav.all_inner_texts() if name in EVERY_PLACE] == places
    for name in places:
        nav.filter(has_text=re.compile(f"^{name}$")).click()
        expect(page.locator("h1").first).to_be_visible()
        expect(page.locator("main .problem:visible")).to_have_count(0)
    assert page.get_by_role("button", name="Register").count() == 0
    page.goto("/")
    expect(page.get_by_role("row", name="echo of the admin").first).to_be_visible()
    assert (page.locator(".choose").count() == 0) == (role == "viewer")
    page.goto(f"/logs?execution_id={execution}")
    expect(page.locator("h1")).to_contain_text("Succeeded")
    if role in ("admin", "operator"):
        expect(page.get_by_role("log").get_by_text("of the admin", exact=True)).to_be_visible()
    else:
        expect(page.locator(".log-state")).to_have_text("Your role may not read this log.")
    page.goto("/users" if role in ("developer", "viewer") else "/")
    expect(page.locator("main")).to_contain_text("may not use this page" if role in ("developer", "viewer") else "Executions")


def test_operations_reconcile_and_trace(visit, system):
    execution = system.run("echo traced")
    system.wait_for_end(execution)
    page = visit().sign_in("/operations")
    page.get_by_role("button", name="Reconcile").click()
    expect(page.get_by_text("verified").first).to_be_visible()
    page.goto(f"/logs?execution_id={execution}")
    request = page.locator("dd a").inner_text()
    page.locator(".facts").get_by_role("link", name=request).click()
    expect(page.get_by_label("Request id")).to_have_value(request)
    expect(page.get_by_role("link", name=execution)).to_be_visible()


def test_the_key_is_kept_as_long_as_asked(visit):
    visitor = visit()
    page = visitor.sign_in()
    # Another tab of the same browser has it, for as long as one tab is there.
    other = visitor.context.new_page()
    other.goto("/")
    expect(other.get_by_role("button", name="Sign out")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(other.get_by_label("API key")).to_be_visible()
    page.get_by_label("API key").fill(visitor.system.key)
    page.get_by_label("Remember on this device").check()
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()
    other.goto("/")
    expect(other.get_by_role("button", name="Sign out")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(other.get_by_label("API key")).to_be_visible()
    visitor.sign_in()
    expect(other.get_by_role("button", name="Sign out")).to_be_visible()
    last = visitor.context.new_page()
    page.close()
    other.close()
    last.goto("/")
    expect(last.get_by_label("API key")).to_be_visible()


def test_a_wrong_key_is_refused_in_words(visit):
    page = visit().page
    page.goto("/")
    for key in ["", "a-key-of-no-user-of-this-system", "mit Umlaut ä"]:
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_label("API key")).to_have_attribute("aria-invalid", "true")


def test_an_execution_is_copied_as_link_and_as_commands(visit, system):
    execution = system.run("echo 'it is copied'")
    page = visit().sign_in(f"/logs?execution_id={execution}")
    clipboard = lambda: page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Link copied")).to_be_visible()
    assert clipboard() == f"{system.url}/logs?execution_id={execution}"
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_text("curl command copied")).to_be_visible()
    assert f"{system.url}/api/v1/run" in clipboard() and "it is copied" in clipboard() and system.key not in clipboard()
    page.get_by_role("button", name="Copy as runvoy").click()
    expect(page.get_by_text("runvoy command copied")).to_be_visible()
    assert clipboard().startswith("runvoy run --image ")


def test_pages_that_do_not_exist_say_so(visit):
    page = visit().page
    assert page.goto("/no-such-page").status == 404
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    page.get_by_role("link", name="Go to the executions").click()
    expect(page.get_by_label("API key")).to_be_visible()
    visitor = visit()
    page = visitor.sign_in("/logs?execution_id=" + "0" * 32)
    expect(page.get_by_role("heading", name="This execution cannot be shown")).to_be_visible()


def test_the_description_of_the_api_sends_requests(visit):
    page = visit().sign_in()
    page.get_by_role("link", name="API", exact=True).click()
    health = page.locator("#health")
    health.get_by_role("button", name="Send").click()
    expect(health.get_by_label("Answer")).to_contain_text("200 OK")
    page.get_by_role("navigation", name="Operations").get_by_role("link", name="Says who the caller is").click()
    expect(page.locator("#me")).to_be_in_viewport()
    visitor = visit()
    visitor.page.goto("/api/v1/docs")
    expect(visitor.page.locator("#run")).to_be_attached()


def test_after_signing_out_nothing_of_the_last_person_is_left(visit, system):
    visitor = visit()
    page = visitor.sign_in("/run")
    page.get_by_label("Command", exact=True).fill("echo mine")
    page.get_by_role("button", name="Add a variable").click()
    page.get_by_label("Name of the variable").fill("PRIVATE")
    page.get_by_label("Value of the variable").fill("hunter2-left")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url("**/logs?execution_id=*")
    execution = page.url.split("=")[1].split("#")[0]
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert "hunter2-left" not in page.evaluate("JSON.stringify([{ ...sessionStorage }, { ...localStorage }])")
    visitor.sign_in(f"/run?again={execution}", key=system.user("developer", "next"))
    expect(page.get_by_label("Command", exact=True)).to_have_value("echo mine")
    expect(page.get_by_label("Value of the variable")).to_have_value("")
    assert "hunter2-left" not in page.content()


def test_no_two_encodings_of_a_file_have_one_strong_etag(system):
    page = urllib.request.urlopen(system.url).read().decode()
    path = re.search(r'src="(/console/[^"]+)"', page)[1]
    tags = {}
    for encoding in ["identity", "gzip", "br", "zstd"]:
        request = urllib.request.Request(system.url + path, headers={"Accept-Encoding": encoding})
        answer = urllib.request.urlopen(request)
        tags.setdefault(answer.headers["ETag"], set()).add(answer.headers.get("Content-Encoding", "identity"))
    assert all(tag.startswith("W/") or len(encodings) == 1 for tag, encodings in tags.items()), tags


def test_the_list_joins_what_was_missed_and_runs_that_ended_have_ended(visit, tmp_path):
    system = System(tmp_path)
    try:
        old = system.run("echo old-one; while [ ! -e go ]; do sleep 0.1; done", env={"PLACE": "x"})
        visitor = visit(system)
        page = visitor.sign_in()
        rows = page.get_by_role("row").filter(has_text="missed-")
        expect(page.get_by_role("row", name="old-one")).to_contain_text("Running")
        visitor.context.set_offline(True)
        for number in range(130):
            system.run(f": missed-{number}")
        system.api("DELETE", f"/executions/{old}")
        for number in range(6):
            system.run("echo still-running; sleep 300")
        expect(page.locator(".connection")).to_contain_text("does not answer")
        visitor.context.set_offline(False)
        expect(page.locator(".connection p")).to_have_count(0)
        expect(rows).to_have_count(130)
        expect(page.get_by_role("row", name="old-one")).to_contain_text("Stopped")
        times = page.locator("tbody tr").evaluate_all("rows => rows.map((row) => row.dataset.started)")
        assert times == sorted(times, reverse=True)
    finally:
        system.stop()


def test_going_back_from_an_execution_finds_the_place_in_the_list(visit, tmp_path):
    system = System(tmp_path)
    try:
        for number in range(120):
            system.run(f": place-{number}")
        page = visit(system).sign_in()
        rows = page.get_by_role("row").filter(has_text="place-")
        while rows.count() < 120:
            rows.last.scroll_into_view_if_needed()
        row = page.get_by_role("row", name=": place-20 ")
        row.scroll_into_view_if_needed()
        place = page.evaluate("scrollY")
        assert place > 500
        row.get_by_role("link").click()
        expect(page.get_by_label("Command", exact=True)).to_be_visible()
        page.go_back()
        expect(rows).to_have_count(120)
        expect(row).to_be_in_viewport()
        assert abs(page.evaluate("scrollY") - place) < 50
    finally:
        system.stop()


def test_a_server_that_is_down_is_said_once_and_mends_by_itself(visit, tmp_path):
    system = System(tmp_path)
    try:
        execution = system.run("echo one; sleep 300")
        visitor = visit(system)
        page = visitor.sign_in()
        took = page.get_by_role("row", name="echo one").locator(".took")
        expect(took).not_to_have_text("0s")
        system.kill()
        banner = page.locator(".connection")
        expect(banner).to_contain_text("does not answer")
        expect(banner).to_be_in_viewport()
        frozen = took.inner_text()
        page.wait_for_timeout(2500)
        assert took.inner_text() == frozen
        assert page.locator(".toast").count() == 0
        # A page that is opened meanwhile comes by itself too.
        page.get_by_role("link", name="Images", exact=True).click()
        system.start()
        expect(page.locator(".connection p")).to_have_count(0)
        expect(page.get_by_role("row", name="ubuntu").first).to_be_visible()
        page.goto(f"/logs?execution_id={execution}")
        expect(page.locator("h1")).to_contain_text("Failed")
    finally:
        system.stop()


def fulfill(answer, route):
    route.fulfill(**answer)


def test_a_page_of_another_program_in_place_of_an_answer_is_no_answer(visit, tmp_path):
    system = System(tmp_path)
    try:
        system.run("echo one; sleep 300")
        page = visit(system).sign_in()
        took = page.get_by_role("row", name="echo one").locator(".took")
        expect(took).not_to_have_text("0s")
        banner = page.locator(".connection")
        for answer in [{"body": "<title>Log in to the network</title>", "content_type": "text/html"}, {"json": {}}, {"json": None}]:
            page.route("**/api/v1/**", partial(fulfill, answer))
            expect(banner).to_contain_text("does not answer")
            frozen = took.inner_text()
            page.wait_for_timeout(2500)
            assert took.inner_text() == frozen
            page.unroute("**/api/v1/**")
            expect(banner.locator("p")).to_have_count(0)
            expect(page.get_by_role("row", name="echo one")).to_contain_text("Running")
    finally:
        system.stop()


def test_a_server_that_hangs_has_one_request_waiting_and_is_said(visit, system):
    visitor = visit()
    page = visitor.sign_in()
    expect(page.get_by_role("heading", name="Executions")).to_be_visible()
    waiting = []
    page.route("**/api/v1/**", lambda route: waiting.append(route))
    expect(page.locator(".connection")).to_contain_text("does not answer")
    lists = [route for route in waiting if "/executions?" in route.request.url]
    assert len(lists) == 1, [route.request.url for route in waiting]
    page.unroute("**/api/v1/**")
    for route in waiting:
        try:
            route.continue_()
        except Exception:
            pass  # The page gave it up.
    expect(page.locator(".connection p")).to_have_count(0)


def test_no_page_asks_twice_at_a_time_of_a_server_that_hangs(visit, system):
    visitor = visit()
    visitor.sign_in()
    system.api("PUT", "/locks/hangs", {"slots": 1})
    asked = {"/locks": "/api/v1/locks?", "/locks?name=hangs": "/api/v1/locks/hangs", "/outbox": "/outbox.json"}
    waiting, most = dict.fromkeys(asked, 0), dict.fromkeys(asked, 0)
    held = []

    def count(path, by):
        def change(request):
            if asked[path] in request.url:
                waiting[path] += by
                most[path] = max(most[path], waiting[path])

        return change

    tabs = []
    for path in asked:
        tab = visitor.context.new_page()
        tab.on("request", count(path, 1))
        tab.on("requestfailed", count(path, -1))
        tab.on("requestfinished", count(path, -1))
        tab.goto(path)
        expect(tab.locator("main .note, main dl").first).to_be_visible()
        tabs.append((path, tab))
    visitor.context.route(re.compile("/api/v1/|/outbox.json"), lambda route: held.append(route))
    for path, tab in tabs:
        # A tab in the background does not look.
        tab.bring_to_front()
        expect(tab.locator(".connection")).to_contain_text("does not answer")
    assert most == dict.fromkeys(asked, 1)
    visitor.context.unroute_all(behavior="ignoreErrors")


def test_the_form_of_a_run_keeps_its_draft_and_takes_a_whole_env_file(visit):
    page = visit().sign_in("/run")
    command = page.get_by_label("Command", exact=True)
    command.fill("echo draft")
    page.get_by_role("button", name="Add a variable").click()
    page.get_by_label("Name of the variable").focus()
    page.evaluate("navigator.clipboard.writeText('# comment\\nFIRST=1\\nexport SECOND=\"two words\"\\n')")
    page.keyboard.press("Control+v")
    names = page.get_by_label("Name of the variable")
    expect(names).to_have_count(2)
    page.get_by_role("link", name="Images", exact=True).click()
    page.get_by_role("link", name="Run", exact=True).click()
    expect(command).to_have_value("echo draft")
    expect(names.nth(1)).to_have_value("SECOND")
    expect(page.get_by_label("Value of the variable").nth(1)).to_have_value("two words")
    page.reload()
    expect(command).to_have_value("echo draft")

    group = page.get_by_role("group", name="Variables")
    run = page.get_by_role("button", name="Run", exact=True)
    names.nth(1).fill("FIRST")
    run.click()
    expect(group).to_have_accessible_description(re.compile("FIRST is there twice"))
    names.nth(1).fill("")
    run.click()
    expect(group).to_have_accessible_description(re.compile("has no name"))
    names.nth(1).fill("SECOND")
    command.fill('echo "$FIRST and $SECOND"')
    run.click()
    expect(page.get_by_role("log").get_by_text("1 and two words", exact=True)).to_be_visible()
    page.get_by_role("link", name="Run", exact=True).click()
    expect(command).to_have_value("")


def test_a_run_is_repeated_by_one_press_and_the_tab_shows_how_it_went(visit):
    page = visit().sign_in("/run")
    page.get_by_label("Command", exact=True).fill("echo once; exit 3")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("h1")).to_contain_text("Failed")
    expect(page.locator("link[rel=icon]")).to_have_attribute("href", re.compile("icon-failed.svg$"))
    expect(page.locator(".unseen[role=status]")).to_have_text("Failed: the command ended with exit code 3")
    first = page.url
    page.get_by_role("button", name="Re-run").click()
    page.wait_for_url(lambda url: "execution_id=" in url and url != first)
    expect(page.locator("h1")).to_contain_text("exit code 3")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (640, 400), (320, 568)])
def test_the_log_and_the_places_have_room_in_a_small_window(visit, system, width, height):
    execution = system.run("seq 300")
    system.wait_for_end(execution)
    page = visit(viewport={"width": width, "height": height}).sign_in(f"/logs?execution_id={execution}")
    expect(page.locator(".log-state")).to_have_text("Complete")
    page.locator(".log").scroll_into_view_if_needed()
    page.locator(".log").evaluate("one => one.scrollIntoView({ block: 'start' })")
    lines = page.evaluate("""() => {
        const box = document.querySelector('[role=log]').getBoundingClientRect();
        return Math.floor((Math.min(box.bottom, innerHeight) - Math.max(0, box.top)) / 20);
    }""")
    assert lines >= (12 if height < 500 else 18), lines
    places = page.get_by_role("navigation", name="Console").get_by_role("link")
    expect(places).to_have_count(0)
    page.get_by_role("button", name="Menu").click()
    assert places.count() >= 9
    for link in places.all():
        link.scroll_into_view_if_needed()
        box = link.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, link.inner_text()
    page.keyboard.press("Escape")
    expect(places).to_have_count(0)
    page.get_by_role("button", name="Menu").click()
    places.filter(has_text="Secrets").click()
    expect(page.locator("h1")).to_have_text("Secrets")
    expect(places).to_have_count(0)


def test_a_number_that_is_none_is_refused_at_its_field(visit):
    page = visit().sign_in("/run")
    page.get_by_label("Command", exact=True).fill("echo hello")
    page.get_by_text("Size", exact=True).click()
    page.get_by_label("Memory").fill("2 GB")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("Enter a whole number.")).to_be_visible()
    expect(page.get_by_label("Memory")).to_be_focused()
    # The server says which sizes there are, at the field.
    page.get_by_label("Memory").fill("999")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_label("Memory")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("h1")).to_have_text("Run a command")


def test_lists_are_paged_and_searched_and_their_forms_come_first(visit, system):
    for number in range(60):
        system.api("POST", "/secrets", {"name": f"many-{number:03}", "key_name": f"MANY_{number}", "value": "x"})
    page = visit().sign_in("/secrets")
    rows = page.get_by_role("row").filter(has_text="many-")
    expect(rows.first).to_be_visible()
    assert page.get_by_role("row").count() <= 51
    form = page.get_by_role("button", name="Create").bounding_box()
    assert form["y"] < rows.first.bounding_box()["y"]
    page.get_by_label("Search secrets").fill("MANY-059")
    expect(rows).to_have_count(1)
    page.get_by_label("Search secrets").fill("no-such-secret")
    expect(rows).to_have_count(0)
    expect(page.get_by_text("None of the secrets has this name.")).to_be_visible()
    # In a window in which a page of the list leaves room, the next one is read too.
    tall = visit(viewport={"width": 1280, "height": 4000}).sign_in("/secrets")
    tall.get_by_label("Search secrets").fill("many-")
    expect(tall.get_by_role("row").filter(has_text="many-")).to_have_count(60)
    # The form of a run offers some, and finds the others.
    page.goto("/run")
    expect(page.locator(".picker .choices input")).to_have_count(12)
    page.get_by_label("Search secrets").fill("many-058")
    page.get_by_label("many-058").check()
    page.get_by_label("Search secrets").fill("")
    expect(page.get_by_label("many-058")).to_be_checked()
    page.get_by_label("Command", exact=True).fill('echo "it is $MANY_58"')
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("log").get_by_text("it is x", exact=True)).to_be_visible()
    for number in range(60):
        system.api("DELETE", f"/secrets/many-{number:03}")
