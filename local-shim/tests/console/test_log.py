"""The log viewer shows what the API says, line by line, whatever the network does."""

import re
import time

import pytest
from playwright.sync_api import expect

from system import Relay, System, wait_until


def shown_lines(page):
    """Every line of the log as one sees it, by scrolling through it."""
    log = page.get_by_role("log")
    lines = {}
    log.press("Home")
    # The lines that repeat the page's header.
    log.get_by_role("button", name="How runvoy started it").click()
    while True:
        page.wait_for_timeout(60)
        view = page.evaluate(
            """() => {
                const box = document.querySelector('[role=log]').getBoundingClientRect();
                const inView = (line) => { const { top, bottom } = line.getBoundingClientRect(); return bottom > box.top && top < box.bottom; };
                return [...document.querySelectorAll('[data-line]')].filter(inView).map((line) => [Number(line.dataset.line), line.textContent]);
            }"""
        )
        before = len(lines)
        lines.update(dict(view))
        if len(lines) == before:
            break
        log.press("PageDown")
    assert sorted(lines) == list(range(1, len(lines) + 1)), "a line was never in view"
    return [lines[number] for number in sorted(lines)]


def downloaded(page):
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    return download.value.path().read_text().splitlines()


def complete(page):
    expect(page.locator(".log-state")).to_have_text("Complete")


@pytest.mark.parametrize("wrap", [True, False])
def test_each_line_is_seen_once_and_in_its_place(visit, system, wrap):
    execution = system.run("for i in $(seq 400); do printf '%s %*s end\\n' \"$i\" \"$(( (i * 37) % 300 ))\" x; done")
    page = visit().sign_in(f"/logs?execution_id={execution}")
    page.get_by_label("Wrap").set_checked(wrap)
    complete(page)
    expected = system.lines(execution)
    assert downloaded(page) == expected
    assert shown_lines(page) == expected


def test_lines_are_drawn_as_a_terminal_draws_them_and_never_as_markup(visit, system):
    execution = system.run(
        r"""printf '\033[31mred\033[0m \033[1;38;2;10;20;30mbold\033[0m \033[48;5;200mback\033[0m\n'
printf 'progress 10%%\rprogress 99%%\n'
echo '<img src=x onerror="window.wasRun=1"><script>window.wasRun=1</script>&amp;'
printf '\342\230\203 snow, \360\237\230\200 smile\n'
printf 'nul \000 here\n'"""
    )
    page = visit().sign_in(f"/logs?execution_id={execution}")
    complete(page)
    log = page.get_by_role("log")
    color = lambda text, name: log.get_by_text(text, exact=True).evaluate(f"one => getComputedStyle(one).{name}")
    assert color("bold", "color") == "rgb(10, 20, 30)"
    assert color("back", "backgroundColor") == "rgb(255, 0, 215)"
    assert color("red", "color") != color("smile", "color") if log.get_by_text("smile", exact=True).count() else True
    expect(log.get_by_text("progress 99%", exact=True)).to_be_visible()
    expect(log.get_by_text('<img src=x onerror="window.wasRun=1"><script>window.wasRun=1</script>&amp;', exact=True)).to_be_visible()
    expect(log.get_by_text("☃ snow, 😀 smile")).to_be_visible()
    assert page.evaluate("window.wasRun") is None
    assert log.locator("img, script").count() == 0


def test_names_and_errors_are_text(visit, system):
    markup = '<img src=x onerror="window.wasRun=1">'
    system.api("POST", "/secrets", {"name": "marked", "key_name": "MARKED", "value": markup, "description": markup})
    execution = system.run(f"echo '{markup}'; exit 1")
    system.wait_for_end(execution)
    page = visit().sign_in("/secrets")
    expect(page.get_by_role("row", name="marked")).to_contain_text(markup)
    page.get_by_role("button", name="Show the value of marked").click()
    expect(page.locator(".value")).to_have_text(markup)
    page.goto("/")
    expect(page.get_by_role("row", name=re.compile("onerror")).first).to_be_visible()
    page.goto(f"/logs?execution_id={markup}")
    expect(page.get_by_role("heading", name="This execution cannot be shown")).to_be_visible()
    page.goto("/run")
    page.get_by_label("Command", exact=True).fill("true")
    page.get_by_label("Image").fill(markup)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_label("Image")).to_have_attribute("aria-invalid", "true")
    assert page.evaluate("window.wasRun") is None
    system.api("DELETE", "/secrets/marked")


def test_the_end_is_followed_until_one_scrolls_up(visit, system):
    execution = system.run("for i in $(seq 2000); do echo \"tick $i\"; sleep 0.01; done")
    page = visit().sign_in(f"/logs?execution_id={execution}")
    log = page.get_by_role("log")
    expect(log.get_by_text(re.compile("^tick [0-9]{3}$")).first).to_be_visible()
    log.hover()
    page.mouse.wheel(0, -600)
    more = page.locator(".log-more")
    expect(more).to_have_text(re.compile(r"[0-9,]+ new lines"))
    first = page.evaluate("document.querySelector('[role=log]').scrollTop")
    page.wait_for_timeout(500)
    assert page.evaluate("document.querySelector('[role=log]').scrollTop") == first, "the log moved under the reader"
    more.click()
    expect(more).to_be_hidden()
    last = log.locator("[data-line]").last
    seen = last.inner_text()
    expect(last).not_to_have_text(seen)
    expect(last).to_be_in_viewport()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    complete(page)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_lines_come_live_at_each_address_of_this_machine(visit, system, host):
    page = visit(base_url=f"http://{host}:{system.port}").sign_in("/run")
    page.get_by_label("Command", exact=True).fill("echo live; sleep 60")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("log").get_by_text("live", exact=True)).to_be_visible()
    expect(page.locator(".log-state")).to_have_text("Live")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.locator("h1")).to_contain_text("Stopped")
    expect(page.locator(".reason")).to_have_text("stopped by admin@runvoy.local")


def test_times_are_shown_as_chosen(visit, system):
    execution = system.run("echo one; sleep 1.1; echo two")
    page = visit().sign_in(f"/logs?execution_id={execution}")
    complete(page)
    line = page.get_by_role("log").locator("[data-line]").filter(has_text=re.compile("^two$"))
    assert line.locator(".time").count() == 0
    for choice, form in [("utc", r"^\d\d:\d\d:\d\d\.\d{3}$"), ("local", r"^\d\d:\d\d:\d\d\.\d{3}$"), ("elapsed", r"^00:01\.\d{3}$")]:
        page.get_by_label("Times").select_option(choice)
        expect(line.locator(".time")).to_have_attribute("data-time", re.compile(form))
    # The button of a section stands beside the time, not on it.
    folded = page.get_by_role("log").locator("[data-line]", has=page.get_by_role("button"))
    fold, shown = folded.get_by_role("button").bounding_box(), folded.locator(".time").bounding_box()
    assert fold["x"] + fold["width"] <= shown["x"] + 1
    page.reload()
    expect(page.get_by_label("Times")).to_have_value("elapsed")


def test_the_whole_log_is_copied(visit, system):
    execution = system.run("seq 5000; printf '\\033[31mred\\033[0m\\n'")
    page = visit().sign_in(f"/logs?execution_id={execution}")
    complete(page)
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_text("lines copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert copied == [line.replace("\x1b[31m", "").replace("\x1b[0m", "") for line in system.lines(execution)]


def test_a_search_that_does_not_end_is_ended(visit, system):
    execution = system.run("printf 'x%.0s' $(seq 200); echo; echo after")
    page = visit().sign_in(f"/logs?execution_id={execution}")
    complete(page)
    page.get_by_role("button", name="Regular expression").click()
    page.get_by_label("Find in the log").fill("(x+x+)+y")
    expect(page.locator(".find-count")).to_have_text("The search takes too long.")
    expect(page.get_by_role("log").get_by_text("after", exact=True)).to_be_visible()
    page.get_by_label("Find in the log").fill("after")
    expect(page.locator(".find-count")).to_have_text(re.compile("^1 of"))


def test_no_line_is_lost_when_connections_are_cut(visit, tmp_path):
    relay = Relay(lambda: system.port)
    system = System(tmp_path, websocket_port=relay.port)
    try:
        execution = system.run("for i in $(seq 3000); do echo \"cut $i\"; [ $((i % 10)) -ne 0 ] || sleep 0.02; done")
        page = visit(system).sign_in(f"/logs?execution_id={execution}")
        log = page.get_by_role("log")
        expect(log.locator("[data-line]").first).to_be_visible()
        for _ in range(8):
            page.wait_for_timeout(300)
            relay.cut()
        relay.close()
        expect(page.locator(".log-state")).to_contain_text("connection is lost")
        page.wait_for_timeout(3000)
        relay.open()
        system.wait_for_end(execution)
        complete(page)
        assert downloaded(page) == system.lines(execution)
        assert shown_lines(page)[-1].endswith("exit code => 0")
    finally:
        system.stop()


def test_the_page_survives_a_system_that_is_killed_and_started_again(visit, tmp_path):
    system = System(tmp_path)
    try:
        execution = system.run("for i in $(seq 100000); do echo \"tick $i\"; sleep 0.005; done")
        page = visit(system).sign_in(f"/logs?execution_id={execution}")
        log = page.get_by_role("log")
        expect(log.get_by_text(re.compile("^tick [0-9]+$")).first).to_be_visible()
        system.kill()
        expect(page.locator(".log-state")).to_contain_text("connection is lost")
        page.wait_for_timeout(1000)
        system.start()
        # The commands ended with the system that ran them.
        expect(page.locator("h1")).to_contain_text("Failed")
        complete(page)
        assert downloaded(page) == system.lines(execution)
        expect(page.locator("h1")).not_to_contain_text("Running")
    finally:
        system.stop()


def test_the_page_says_what_the_api_says_when_events_come_twice_late_and_in_disorder(visit, tmp_path):
    system = System(tmp_path, "--chaos", "7")
    try:
        visitor = visit(system)
        page = visitor.sign_in()
        for round in range(3):
            execution = system.run(f"for i in $(seq 1500); do echo \"chaos {round} $i\"; [ $((i % 100)) -ne 0 ] || sleep 0.05; done")
            page.goto(f"/logs?execution_id={execution}")
            complete(page)
            assert downloaded(page) == system.lines(execution)
    finally:
        system.stop()


def test_a_log_that_comes_in_pages_is_shown_whole(visit, system):
    # Lines that compress badly: about 12 MB, more than one answer carries.
    execution = system.run("head -c 9000000 /dev/urandom | base64 -w 120")
    page = visit().sign_in()
    wait_until(lambda: system.status(execution) == "SUCCEEDED", "the execution has ended")
    time.sleep(1)
    page.goto(f"/logs?execution_id={execution}")
    complete(page)
    lines = downloaded(page)
    assert len([line for line in lines if not line.startswith("###")]) == 100_000
    page.evaluate("location.hash = '#L90000'")
    expect(page.get_by_role("log").locator('[data-line="90000"]')).to_have_text(lines[89_999])


def test_a_search_that_hangs_later_is_ended_too(visit, system):
    """The first line is found at once; those on which the expression backtracks come afterwards."""
    execution = system.run("echo aaa; sleep 2; for i in 1 2 3; do printf 'a%.0s' $(seq 60); echo '!'; done; echo after; sleep 60")
    page = visit().sign_in(f"/logs?execution_id={execution}")
    log = page.get_by_role("log")
    expect(log.get_by_text("aaa", exact=True)).to_be_visible()
    page.get_by_role("button", name="Regular expression").click()
    page.get_by_label("Find in the log").fill("^(a+)+$")
    expect(page.locator(".find-count")).to_have_text("The search takes too long.")
    expect(log.get_by_text("after", exact=True)).to_be_visible()
    # A command that prints nothing for a while may write a line that does not end.
    expect(page.locator(".log-counts")).to_contain_text("A line is shown when it ends.")
    expect(page.locator(".log-state")).to_have_text("Live")
    system.api("DELETE", f"/executions/{execution}")
    complete(page)
    expect(page.locator(".log-counts")).not_to_contain_text("A line is shown when it ends.")


def test_a_line_of_movements_does_not_block_the_page(visit, system):
    execution = system.run(r"""for i in $(seq 4000); do printf '\033[999Cx'; done; echo; echo after""")
    page = visit().sign_in(f"/logs?execution_id={execution}")
    complete(page)
    expect(page.get_by_role("log").get_by_text("after", exact=True)).to_be_visible()
    cells = page.evaluate("Math.max(...[...document.querySelectorAll('.line .text')].map((line) => line.textContent.length))")
    assert cells < 6000


@pytest.mark.parametrize("width", [390, 1280])
def test_the_end_is_in_view_whatever_pictures_the_lines_have(visit, system, width):
    picture = "\\342\\234\\205"
    heart = "\\342\\235\\244\\357\\270\\217"
    family = "\\360\\237\\221\\250\\342\\200\\215\\360\\237\\221\\251\\342\\200\\215\\360\\237\\221\\247"
    execution = system.run(f"for i in $(seq 300); do printf '%s\\t{picture}%.0s {heart} {family}\\346\\227\\245 ' $(seq $i $((i + i % 40))); echo; done; echo the-end")
    page = visit(viewport={"width": width, "height": 800}).sign_in(f"/logs?execution_id={execution}")
    complete(page)
    log = page.get_by_role("log")
    page.locator(".log").evaluate("one => one.scrollIntoView({ block: 'start' })")
    expect(log.locator("[data-line]").last).to_be_in_viewport(ratio=0.9)
    expect(log.get_by_text("the-end", exact=True)).to_be_in_viewport()
    # In the narrow window a line is higher than the view.
    assert width < 400 or shown_lines(page) == system.lines(execution)
    log.press("End")
    expect(log.get_by_text("the-end", exact=True)).to_be_in_viewport()
    page.evaluate("location.hash = '#L250'")
    expect(log.locator('[data-line="250"]')).to_be_in_viewport()


def test_colours_last_until_they_are_reset_and_addresses_are_links(visit, system):
    execution = system.run(
        r"""printf '\033[38;2;10;20;30mfirst\n'; echo second; printf '\033[0mthird\n'
echo 'see https://example.com/a_(b), or http://x.test/y.'
printf '\033]8;;https://example.com/linked\033\\named\033]8;;\033\\\n'
printf '\033]8;;javascript:alert(1)\033\\not-a-link\033]8;;\033\\\n'"""
    )
    page = visit().sign_in(f"/logs?execution_id={execution}")
    complete(page)
    log = page.get_by_role("log")
    color = lambda text: log.get_by_text(text, exact=True).evaluate("one => getComputedStyle(one).color")
    assert color("first") == color("second") == "rgb(10, 20, 30)" != color("third")
    links = log.locator(".line:not(.own):not(:has-text(\"printf\")):not(:has-text(\"echo\")) a.log-link")
    assert [link.get_attribute("href") for link in links.all()] == [
        "https://example.com/a_(b)", "http://x.test/y", "https://example.com/linked"]
    assert {link.get_attribute("rel") for link in links.all()} == {"noopener noreferrer"}


def test_characters_that_reorder_text_are_marked_in_log_list_and_page(visit, system):
    command = "echo 'evil \u202etxt.exe'"
    execution = system.run(command)
    system.wait_for_end(execution)
    page = visit().sign_in()
    expect(page.get_by_role("row", name="evil").first).to_contain_text("⟦U+202E⟧")
    page.goto(f"/logs?execution_id={execution}")
    complete(page)
    expect(page.get_by_label("Command", exact=True)).to_contain_text("⟦U+202E⟧")
    expect(page.get_by_role("log").get_by_text("evil ⟦U+202E⟧txt.exe", exact=True)).to_be_visible()
    assert "\u202e" not in page.locator("body").inner_text() + page.title()
    # What is sent stays as it was written.
    page.get_by_role("button", name="Edit and run").click()
    expect(page.get_by_label("Command", exact=True)).to_have_value(command)


def test_a_connection_that_is_kept_while_its_data_is_dropped_is_lost_after_30_s(visit, tmp_path):
    relay = Relay(lambda: system.port)
    system = System(tmp_path, websocket_port=relay.port)
    try:
        execution = system.run("for i in $(seq 1000); do echo \"beat $i\"; sleep 0.5; done")
        page = visit(system).sign_in(f"/logs?execution_id={execution}")
        log = page.get_by_role("log")
        expect(log.get_by_text("beat 3", exact=True)).to_be_visible()
        relay.drop()
        expect(page.locator(".log-state")).to_contain_text("connection is lost", timeout=45_000)
        relay.pass_on()
        expect(page.locator(".log-state")).to_have_text("Live")
        expect(log.get_by_text("beat 70", exact=True)).to_be_visible()
        system.api("DELETE", f"/executions/{execution}")
        complete(page)
        assert downloaded(page) == system.lines(execution)
    finally:
        system.stop()


def test_a_link_to_a_line_says_what_is_there(visit, system):
    execution = system.run("seq 200")
    system.wait_for_end(execution)
    page = visit().sign_in(f"/logs?execution_id={execution}#L9999")
    complete(page)
    expect(page.locator(".log-notice")).to_contain_text("There is no line 9,999")
    page.goto(f"/logs?execution_id={execution}#L20")
    page.reload()
    complete(page)
    expect(page.get_by_role("log").locator('[data-line="20"]')).to_be_in_viewport()
    expect(page.locator(".log-more")).to_have_text("Go to the end")
    expect(page.locator(".log-notice")).to_have_text("")
    assert page.locator(".line a.number:not([tabindex='-1'])").count() == 0


def test_the_log_is_copied_without_a_clipboard(visit, system):
    execution = system.run("seq 50")
    visitor = visit()
    visitor.context.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page = visitor.sign_in(f"/logs?execution_id={execution}")
    complete(page)
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_text("lines copied")).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Link copied")).to_be_visible()


def test_sections_fold_errors_are_found_and_only_matching_lines_are_shown(visit, system):
    command = """echo before
echo '::group::Install'; for i in $(seq 40); do echo "package $i"; done; echo '::endgroup::'
echo '::group::Check'; echo '0 errors so far'; echo 'ValueError: it went wrong'; echo '::endgroup::'
for i in $(seq 40); do echo "row $i"; done; echo 'the end'"""
    execution = system.run(command)
    system.wait_for_end(execution)
    page = visit().sign_in(f"/logs?execution_id={execution}")
    log = page.get_by_role("log")
    expect(page.locator(".log-state")).to_have_text("Complete")
    expect(log.get_by_text("the end", exact=True)).to_be_visible()
    log.press("Home")
    install = log.get_by_role("button", name="Install")
    expect(install).to_have_attribute("aria-expanded", "false")
    expect(log.get_by_text("package 1", exact=True)).to_have_count(0)
    # The lines that repeat the page's header are folded too.
    expect(log.get_by_role("button", name="How runvoy started it")).to_have_attribute("aria-expanded", "false")
    expect(log.get_by_text("execution started by")).to_have_count(0)
    install.click()
    expect(log.get_by_text("package 1", exact=True)).to_be_visible()
    install.click()
    expect(log.get_by_text("package 1", exact=True)).to_have_count(0)

    page.get_by_role("button", name="Next error").click()
    expect(log.locator(".selected")).to_contain_text("ValueError: it went wrong")
    # A match in a folded section unfolds it.
    page.get_by_label("Find in the log").fill("package 33")
    expect(log.locator("mark.current")).to_be_in_viewport()
    page.get_by_role("button", name="Only matching lines").click()
    expect(log.locator("[data-line]")).to_have_count(1)
    page.get_by_label("Find in the log").fill("row 1")
    expect(log.locator("[data-line]")).to_have_count(11)
    page.get_by_role("button", name="Only matching lines").click()
    expect(log.locator("mark.current")).to_be_in_viewport()
    expect(log.get_by_text("row 2", exact=True)).to_be_visible()
    number = log.get_by_text("package 2", exact=True)
    page.goto(f"/logs?execution_id={execution}#L6")
    expect(log.locator(".selected")).to_be_in_viewport()
    expect(number).to_be_visible()
