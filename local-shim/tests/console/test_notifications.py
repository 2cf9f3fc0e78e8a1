"""Notifications in the console: one is made and tried, its deliveries and the outbox are looked at, and the browser tells of an end."""

import http.server
import threading

from playwright.sync_api import expect

from system import wait_until


class Receiver:
    """A receiver of webhooks on this machine."""

    def __init__(self):
        got = self.got = []

        class Hook(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                got.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_a_notification_is_made_tried_paused_resumed_and_deleted(visit):
    receiver = Receiver()
    page = visit().sign_in("/notifications")
    page.get_by_label("Name", exact=True).fill("on-call")
    page.get_by_label("URL").fill("https://10.0.0.1/")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("is in a private network")).to_be_visible()
    page.get_by_label("URL").fill(receiver.url)
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_label("Signing key")).to_contain_text("whsec_")
    row = page.get_by_role("row").filter(has_text="on-call")
    expect(row).to_contain_text("active")
    expect(row).to_contain_text("Succeeded again after a failure")

    page.get_by_role("button", name="Test on-call").click()
    expect(page.get_by_text("The test of on-call is delivered: 204")).to_be_visible()
    assert '"type":"test"' in receiver.got[0]
    page.get_by_role("button", name="Pause on-call").click()
    expect(row).to_contain_text("paused by admin@runvoy.local")
    page.get_by_role("button", name="Resume on-call").click()
    expect(row).to_contain_text("active")
    row.get_by_role("link", name="Deliveries").click()
    deliveries = page.get_by_role("table", name="Deliveries of on-call")
    expect(deliveries.get_by_role("row").nth(1)).to_contain_text("delivered")
    expect(deliveries).to_be_in_viewport()

    page.get_by_role("button", name="Delete on-call").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Notifications")
    expect(row).to_have_count(0)


def test_mails_of_a_local_system_are_confirmed_and_read_in_its_outbox(visit):
    page = visit().sign_in("/notifications")
    page.get_by_label("Name", exact=True).fill("me")
    page.get_by_label("Goes to").select_option("E-mail")
    page.get_by_label("Address").fill("ana@example.com")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("row").filter(has_text="ana@example.com")).to_contain_text("has not confirmed")
    page.get_by_role("link", name="outbox").click()
    mail = page.get_by_role("article").filter(has_text="ana@example.com").first
    expect(mail).to_contain_text("Subscription Confirmation")
    mail.get_by_role("button", name="Confirm the address").click()
    expect(page.get_by_text("The address is confirmed")).to_be_visible()
    page.goto("/notifications")
    row = page.get_by_role("row").filter(has_text="ana@example.com")
    expect(row).to_contain_text("active")
    page.get_by_role("button", name="Delete me").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()


def browser_that_tells(visitor):
    """A browser that allows notifications. Headless browsers show none, so the page's own is noted."""
    visitor.context.grant_permissions(["notifications"], origin=visitor.system.url)
    visitor.context.add_init_script(
        "window.told = []; window.Notification = class extends EventTarget {"
        " static permission = 'granted'; static requestPermission = async () => 'granted';"
        " constructor(title, options) { super(); window.told.push([title, options.body]); } };"
    )


def run(page, command):
    page.get_by_role("link", name="Run", exact=True).click()
    page.get_by_label("Command", exact=True).fill(command)
    page.get_by_label("Command", exact=True).press("Control+Enter")
    page.wait_for_url("**/logs?execution_id=*")
    return page.url.split("execution_id=")[1]


def test_the_browser_tells_how_an_execution_ends_that_the_person_started(visit):
    visitor = visit()
    browser_that_tells(visitor)
    page = visitor.sign_in("/notifications")
    page.get_by_label("Tell me when an execution ends").check()
    run(page, "exit 9")
    expect(page.locator("h1")).to_contain_text("Failed")
    page.get_by_role("link", name="Images").click()
    wait_until(lambda: page.evaluate("window.told.length") == 1, "the browser tells")
    assert page.evaluate("window.told[0]") == ["Failed with exit code 9", "exit 9"]


def test_the_browser_tells_the_next_person_nothing_of_the_last_one(visit, system):
    visitor = visit()
    browser_that_tells(visitor)
    page = visitor.page
    page.clock.install()
    visitor.sign_in("/notifications")
    page.get_by_label("Tell me when an execution ends").check()
    first = run(page, "echo of the last person; exit 9")
    page.get_by_role("button", name="Sign out").click()
    system.wait_for_end(first)
    # Without a new page, which would end whatever goes on.
    page.get_by_label("API key").fill(system.user("operator", "tells-next"))
    page.get_by_role("button", name="Sign in").click()
    second = run(page, "exit 8")
    system.wait_for_end(second)
    page.get_by_role("link", name="Images").click()

    def is_told():
        page.clock.fast_forward(5000)
        return page.evaluate("window.told.length") > 0

    wait_until(is_told, "the browser tells")
    for _ in range(3):
        page.clock.fast_forward(5000)
        page.wait_for_timeout(100)
    assert page.evaluate("window.told") == [["Failed with exit code 8", "exit 8"]]
