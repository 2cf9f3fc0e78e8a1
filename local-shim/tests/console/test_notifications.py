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


def test_the_browser_tells_how_an_execution_ends_that_the_person_started(visit):
    visitor = visit()
    visitor.context.grant_permissions(["notifications"], origin=visitor.system.url)
    # Headless browsers show none, so the page's own is noted.
    visitor.context.add_init_script(
        "window.told = []; window.Notification = class extends EventTarget {"
        " static permission = 'granted'; static requestPermission = async () => 'granted';"
        " constructor(title, options) { super(); window.told.push([title, options.body]); } };"
    )
    page = visitor.sign_in("/notifications")
    page.get_by_label("Tell me when an execution ends").check()
    page.get_by_role("link", name="Run", exact=True).click()
    page.get_by_label("Command", exact=True).fill("exit 9")
    page.get_by_label("Command", exact=True).press("Control+Enter")
    expect(page.locator("h1")).to_contain_text("Failed")
    page.get_by_role("link", name="Images").click()
    wait_until(lambda: page.evaluate("window.told.length") == 1, "the browser tells")
    assert page.evaluate("window.told[0]") == ["Failed with exit code 9", "exit 9"]
