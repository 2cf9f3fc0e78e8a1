"""Owners and sharing in the console, and where a run came from."""

import re

from playwright.sync_api import expect


def test_an_owner_says_who_else_uses_a_thing_and_who_owns_it(visit, system):
    system.user("developer", "takes-over")
    developer = system.user("developer", "owns-things")
    system.api("POST", "/secrets", {"name": "shared-secret", "key_name": "SHARED", "value": "x"}, developer)
    page = visit().sign_in("/secrets?name=shared-secret", developer)
    facts = page.locator(".facts")
    expect(facts).to_contain_text("all whose role may")
    page.get_by_role("button", name="Share", exact=True).click()
    page.get_by_label("Shared with").fill("role:nobody")
    page.get_by_role("button", name="Save").click()
    # What the server refuses is at the field.
    expect(page.get_by_label("Shared with")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Shared with").fill("role:operator, takes-over@example.com")
    page.get_by_role("button", name="Save").click()
    expect(facts).to_contain_text("role:operator, takes-over@example.com")
    page.get_by_role("button", name="Share", exact=True).click()
    page.get_by_label("Shared with").fill("-")
    page.get_by_label("Owners").fill("takes-over@example.com")
    page.get_by_role("button", name="Save").click()
    expect(facts).to_contain_text("owners, operators and admins")
    expect(facts).to_contain_text("takes-over@example.com")
    # It belongs to another person now.
    expect(page.get_by_role("button", name="Share", exact=True)).to_have_count(0)
    secret = next(one for one in system.api("GET", "/secrets")["secrets"] if one["name"] == "shared-secret")
    assert (secret["owned_by"], secret["shared_with"]) == (["takes-over@example.com"], [])


def test_images_schedules_and_executions_have_owners_that_their_pages_change(visit, system):
    system.user("developer", "another-owner")
    system.api("POST", "/images/register", {"image": "shared:1"})
    system.api("POST", "/schedules", {"name": "shared-schedule", "cron": "0 3 * * *", "run": {"command": "true"}})
    execution = system.run("echo owned")
    system.wait_for_end(execution)
    page = visit().sign_in()
    for path, button, read in [
        ("/images?image=shared:1", "Share", "/images/shared:1"),
        ("/schedules?name=shared-schedule", "Share", "/schedules/shared-schedule"),
        (f"/logs?execution_id={execution}", "Owners", f"/executions/{execution}"),
    ]:
        page.goto(path)
        page.get_by_role("button", name=button, exact=True).click()
        page.get_by_label("Owners", exact=True).fill("admin@runvoy.local another-owner@example.com")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".facts")).to_contain_text(re.compile("another-owner@example.com"))
        found = system.api("GET", read)
        found = found.get("schedule") or found.get("image") if not found.get("owned_by") else found
        assert sorted(found["owned_by"]) == ["admin@runvoy.local", "another-owner@example.com"], path


def test_the_list_says_by_what_a_run_was_started(visit, system):
    system.api("PUT", "/playbooks/says-so", {"commands": ["echo of a playbook"]})
    system.wait_for_end(system.api("POST", "/playbooks/says-so/run", {"parameters": {}})["execution_id"])
    page = visit().sign_in("/?q=of+a+playbook")
    expect(page.get_by_role("row", name="of a playbook")).to_contain_text("playbook says-so@1")
