"""A job for others from end to end: published by a developer, run by a runner, approved by an operator; its failure reaches a webhook, and all of it is in the audit."""

import json
import re

from playwright.sync_api import expect

from system import wait_until
from test_notifications import Receiver

FILE = """description: Restarts a service
approvals: {count: 1, by: ["role:operator"], expires: 2h}
parameters:
  - name: SERVICE
    type: choice
    allowed: [web, worker]
commands:
  - echo "restarting $SERVICE"
  - exit 3
"""


def test_a_job_is_published_run_approved_and_its_failure_is_told_and_all_is_in_the_audit(system, visit):
    keys = {role: system.user(role, f"walk-{role}") for role in ("developer", "runner", "operator")}
    receiver = Receiver()

    # A developer publishes it and shares it with those who may run nothing else.
    developer = visit().sign_in("/playbooks?edit=", keys["developer"])
    developer.get_by_label("Name", exact=True).fill("walk")
    developer.get_by_label("File", exact=True).fill(FILE)
    expect(developer.get_by_text("one of web, worker")).to_be_visible()
    developer.get_by_role("button", name="Publish").click()
    expect(developer.get_by_role("heading", name="walk", level=1)).to_be_visible()
    developer.get_by_role("button", name="Share").click()
    developer.get_by_label("Shared with").fill("role:runner")
    developer.get_by_role("button", name="Save").click()
    expect(developer.get_by_text("The sharing is changed")).to_be_visible()

    # The developer is told when it waits and when it fails.
    developer.goto("/notifications")
    developer.get_by_label("Name", exact=True).fill("walk-hook")
    developer.get_by_label("URL").fill(receiver.url)
    developer.get_by_label("Waits for approval").check()
    developer.get_by_label("Of", exact=True).select_option("playbook")
    developer.get_by_label("Name of it").fill("walk")
    developer.get_by_role("button", name="Create").click()
    expect(developer.get_by_label("Signing key")).to_contain_text("whsec_")

    # Someone in support runs it, which waits.
    runner = visit().sign_in("/", keys["runner"])
    runner.goto("/playbooks?name=walk")
    runner.get_by_label("SERVICE").select_option("worker")
    runner.get_by_role("button", name="Run", exact=True).click()
    expect(runner.get_by_role("heading", name="Waiting")).to_be_visible()
    expect(runner.get_by_text("It waits for an approval by role:operator or an admin")).to_be_visible()
    wait_until(lambda: any('"type":"waiting"' in one for one in receiver.got), "the receiver knows that it waits")
    link = json.loads(next(one for one in receiver.got if '"type":"waiting"' in one))
    execution = link["execution"]["execution_id"]
    assert execution in runner.url

    # An operator follows the link of the notification. It shows first, and only a button acts.
    operator = visit().sign_in("/", keys["operator"])
    operator.goto(link["url"])
    expect(operator.get_by_role("heading", name="Waiting")).to_be_visible()
    assert system.status(execution) == "WAITING"
    operator.get_by_text("See what will run, and decide").click()
    expect(operator.get_by_label("Values")).to_contain_text("worker")
    operator.get_by_role("button", name="Approve").click()
    expect(operator.get_by_role("heading", name="Failed")).to_be_visible()

    # The runner sees the end and its reason, and the receiver is told of it once.
    expect(runner.get_by_role("heading", name="Failed")).to_be_visible()
    expect(runner.get_by_text("restarting worker")).to_be_visible()
    expect(runner.locator(".reason")).to_have_text(re.compile("exit code 3"))
    wait_until(lambda: any('"type":"failed"' in one for one in receiver.got), "the receiver knows that it failed")
    developer.goto("/notifications?name=walk-hook")
    deliveries = developer.get_by_role("table", name="Deliveries of walk-hook")
    expect(deliveries.get_by_role("row").filter(has_text="delivered")).to_have_count(2)

    # The audit has each step, with who did it.
    admin = visit().sign_in("/audit")
    entries = admin.get_by_role("table", name="Audit", exact=True)
    for resource, steps in {
        "playbook:walk": [("walk-developer", "playbooks:publish"), ("walk-developer", "playbooks:share")],
        "notification:walk-hook": [("walk-developer", "notifications:create")],
        f"execution:{execution}": [("walk-runner", "executions:run"), ("walk-operator", "executions:approve")],
    }.items():
        admin.get_by_label("Resource").fill(resource)
        admin.get_by_label("Resource").press("Enter")
        for who, action in steps:
            expect(entries.get_by_role("row").filter(has_text=f"{who}@example.com").filter(has_text=action)).to_have_count(1)
    expect(entries.get_by_role("row").filter(has_text=execution).filter(has_text="executions:run")).to_contain_text("playbook:walk@1")
    # The playbook's own page has its entries too, for those who may read the audit.
    admin.goto("/playbooks?name=walk")
    expect(admin.get_by_role("table", name="Audit of playbook:walk").get_by_role("row").filter(has_text="playbooks:share")).to_have_count(1)
