"""Playbooks in a browser: published by a developer, run by someone in support."""

from playwright.sync_api import expect

FILE = """description: Restarts a service
parameters:
  - name: SERVICE
    type: choice
    allowed: [web, worker]
    description: Which one
  - name: REASON
    max_length: 20
    pattern: "[a-z ]+"
  - name: DRY
    type: boolean
    required: false
commands:
  - echo "restarting $SERVICE ($REASON) $DRY"
"""

# The file as the editor writes it: the same words in its own order.
WRITTEN = """description: Restarts a service
parameters:
  - name: SERVICE
    type: choice
    description: Which one
    allowed:
      - web
      - worker
  - name: REASON
    pattern: "[a-z ]+"
    max_length: 20
  - name: DRY
    type: boolean
    required: false
commands:
  - "echo \\"restarting $SERVICE ($REASON) $DRY\\""
"""


def test_a_developer_publishes_and_a_runner_runs(system, visit):
    developer, runner = system.user("developer", "dev-of-playbooks"), system.user("runner", "support")
    page = visit().sign_in("/playbooks", developer)
    page.get_by_role("link", name="New playbook").click()
    page.get_by_label("Name", exact=True).fill("restart-web")
    editor = page.get_by_label("File", exact=True)
    # The server checks while one types, and names the place.
    editor.fill(FILE.replace("[web, worker]", "[]"))
    expect(page.get_by_text("parameters[0].allowed")).to_be_visible()
    expect(page.get_by_text("Not before it is right")).to_be_visible()
    editor.fill(FILE)
    expect(page.get_by_text("one of web, worker")).to_be_visible()
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("heading", name="restart-web", level=1)).to_be_visible()
    page.get_by_role("button", name="Share").click()
    page.get_by_label("Shared with").fill("role:runner role:developer")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The sharing is changed")).to_be_visible()

    support = visit().sign_in("/", runner)
    expect(support.get_by_role("link", name="Run", exact=True)).to_have_count(0)
    support.get_by_role("link", name="Playbooks").click()
    row = support.get_by_role("row", name="restart-web")
    expect(row.get_by_text("never run")).to_be_visible()
    row.get_by_role("button", name="Favourite").click()
    row.get_by_role("link", name="Run restart-web").click()
    # Nothing is chosen before the person chooses, and what the server refuses is at its field.
    service = support.get_by_label("SERVICE")
    expect(service).to_have_value("")
    support.get_by_role("button", name="Run", exact=True).click()
    expect(service).to_have_attribute("aria-invalid", "true")
    service.select_option("worker")
    support.get_by_label("REASON").fill("NO CAPITALS")
    support.get_by_role("button", name="Run", exact=True).click()
    expect(support.get_by_label("REASON")).to_have_attribute("aria-invalid", "true")
    expect(service).not_to_have_attribute("aria-invalid", "true")
    support.get_by_label("REASON").fill("it hangs")
    support.get_by_label("yes").check()
    support.get_by_role("button", name="Run", exact=True).click()
    expect(support.get_by_text("restarting worker (it hangs) true")).to_be_visible()
    expect(support.get_by_role("heading", name="Succeeded")).to_be_visible()
    expect(support.get_by_role("link", name="restart-web@1")).to_be_visible()
    # The same values again, from the execution.
    support.get_by_role("button", name="Same values again").click()
    expect(support.get_by_label("REASON")).to_have_value("it hangs")
    expect(support.get_by_label("SERVICE")).to_have_value("worker")
    expect(support.get_by_label("yes")).to_be_checked()
    history = support.get_by_role("table", name="History")
    expect(history.get_by_text("support@example.com")).to_be_visible()
    support.get_by_role("link", name="Playbooks").click()
    expect(support.get_by_role("list", name="Favourites").get_by_text("restart-web")).to_be_visible()
    expect(support.get_by_role("row", name="restart-web").get_by_text("Succeeded")).to_be_visible()

    # The developer changes it. Someone else was faster, and the developer is told.
    page.get_by_role("link", name="Edit").click()
    expect(editor).to_have_value(WRITTEN)
    body = {"commands": ["echo other"]}
    system.api("PUT", "/playbooks/restart-web", body)
    editor.press("End")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("alert")).to_contain_text("has been changed meanwhile")
    page.goto("/playbooks?name=restart-web&version=1")
    expect(page.get_by_text("This is version 1")).to_be_visible()
    expect(page.get_by_role("table", name="Versions").get_by_role("row")).to_have_count(3)


def test_text_of_playbooks_is_never_markup(system, visit):
    evil = "<img src=x onerror=alert(1)>"
    playbook = {"description": evil, "commands": [f"echo '{evil}'"], "parameters": [{"name": "A", "label": evil, "description": evil, "allowed": [evil]}]}
    system.api("PUT", "/playbooks/evil", playbook)
    page = visit().sign_in("/playbooks?name=evil")
    expect(page.get_by_role("heading", name="evil", level=1)).to_be_visible()
    expect(page.get_by_label(evil)).to_be_visible()
    assert page.locator("main img").count() == 0


def test_someone_else_sees_what_will_run_and_approves(system, visit):
    asker, operator = system.user("developer", "asks-first"), system.user("operator", "approves")
    playbook = {"commands": ['echo "restarted $SERVICE"'], "parameters": [{"name": "SERVICE"}], "approvals": {"by": ["role:operator"]}}
    system.api("PUT", "/playbooks/careful", playbook, asker)
    page = visit().sign_in("/playbooks?name=careful", asker)
    page.get_by_label("SERVICE").fill("web-7")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("heading", name="Waiting")).to_be_visible()
    expect(page.get_by_text("It waits for an approval by role:operator or an admin")).to_be_visible()
    expect(page.get_by_text("See what will run")).to_have_count(0)
    expect(page.locator(".log-state")).to_have_text("No line yet: it waits for an approval")

    other = visit().sign_in("/", operator)
    other.get_by_role("region", name="Waits for you").get_by_role("link", name="careful@1").click()
    approve = other.get_by_role("button", name="Approve")
    expect(approve).not_to_be_visible()
    other.get_by_text("See what will run, and decide").click()
    expect(other.get_by_label("Command that will run")).to_have_text('echo "restarted $SERVICE"')
    expect(other.get_by_label("Values")).to_contain_text("web-7")
    other.get_by_label("Comment").fill("ticket 7")
    approve.click()
    expect(other.get_by_role("heading", name="Succeeded")).to_be_visible()
    expect(other.get_by_text("approves@example.com approved")).to_be_visible()
    expect(page.get_by_role("heading", name="Succeeded")).to_be_visible()
    expect(page.get_by_text("restarted web-7")).to_be_visible()

    # Its command is not run by itself, which would need no approval.
    expect(page.get_by_role("button", name="Re-run")).to_have_count(0)
    expect(page.get_by_role("button", name="Edit and run")).to_have_count(0)
    # The next one is denied, and its asker reads why.
    page.get_by_role("button", name="Same values again").click()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("heading", name="Waiting")).to_be_visible()
    other.goto(page.url)
    other.get_by_text("See what will run, and decide").click()
    other.get_by_label("Comment").fill("not on a Friday")
    other.get_by_role("button", name="Deny").click()
    expect(other.get_by_role("heading", name="Stopped")).to_be_visible()
    expect(page.locator(".reason")).to_have_text("denied by approves@example.com: not on a Friday")
