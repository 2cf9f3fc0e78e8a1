"""Who may do what, and who did it: the audit, keys, and the life of a user."""

import re

from playwright.sync_api import expect


def entries(page):
    return page.get_by_role("row").filter(has=page.locator("time"))


def test_the_audit_is_filtered_as_the_api_does_and_paged(visit, system):
    for number in range(60):
        system.api("POST", "/secrets", {"name": f"audited-{number:02}", "key_name": "AUDITED", "value": "hunter2-audit"})
    viewer = system.user("viewer", "audit-viewer")
    try:
        system.api("POST", "/run", {"command": "true"}, key=viewer)
    except AssertionError:
        pass
    page = visit().sign_in("/audit?action=secrets%3Acreate")
    rows = page.get_by_role("table", name="Audit").get_by_role("row").filter(has_text="audited-")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(60)
    page.get_by_label("Resource").fill("secret:audited-07")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("secrets:create")
    assert "resource=secret%3Aaudited-07" in page.url
    page.reload()
    expect(rows).to_have_count(1)
    rows.get_by_role("link", name="secret:audited-07").click()
    expect(page.locator("h1")).to_have_text("audited-07")
    assert "hunter2-audit" not in page.content()

    page.goto("/audit")
    page.get_by_label("Who").fill("audit-viewer@example.com")
    page.get_by_label("Outcome").select_option("refused")
    refused = page.get_by_role("table", name="Audit").get_by_role("row").filter(has_text="executions:run")
    expect(refused).to_contain_text("refused")
    page.get_by_label("Before").fill("2020-01-01T00:00")
    expect(page.get_by_text("The audit has no such entry.")).to_be_visible()
    for number in range(60):
        system.api("DELETE", f"/secrets/audited-{number:02}")


def test_each_page_shows_its_own_entries_to_those_who_may_read_the_audit(visit, system):
    system.api("POST", "/secrets", {"name": "own-entries", "key_name": "OWN_ENTRIES", "value": "x"})
    execution = system.run("echo audited", secrets=["own-entries"])
    system.wait_for_end(execution)
    image = system.api("GET", f"/executions/{execution}")["image_id"]
    name = system.api("GET", f"/images/{image}")["image"]
    system.user("operator", "own-entries")
    admin = system.api("GET", "/me")["email"]
    page = visit().sign_in("/secrets")
    page.get_by_role("link", name="own-entries").click()
    expect(page.get_by_role("table", name="Uses of own-entries")).to_contain_text(admin)
    expect(page.get_by_role("table", name="Audit of secret:own-entries")).to_contain_text("secrets:create")
    for path, action in [
        (f"/logs?execution_id={execution}", "executions:run"),
        (f"/images?image={image}", "images:use"),
        (f"/images?image={name}", "images:use"),
        ("/users?email=own-entries@example.com", "users:create"),
    ]:
        page.goto(path)
        expect(page.get_by_role("table", name="Audit of")).to_contain_text(action)
    operator = visit().sign_in(f"/logs?execution_id={execution}", key=system.user("operator", "no-audit"))
    expect(operator.locator(".log-state")).to_have_text("Complete")
    assert operator.get_by_role("heading", name="Audit").count() == 0


def test_a_person_makes_a_limited_key_sees_it_once_and_deletes_it(visit, system):
    developer = system.user("developer", "keys")
    page = visit().sign_in("/keys", key=developer)
    table = page.get_by_role("table", name="Keys")
    expect(table.get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="Make a key").click()
    expect(page.get_by_label("Name", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Name", exact=True).fill("robot")
    page.get_by_label("Expires").select_option("In 7 days")
    page.get_by_text("Limit what it may do").click()
    page.get_by_label("executions:list").check()
    page.get_by_role("button", name="Make a key").click()
    key = page.get_by_label("New API key").inner_text()
    assert system.api("GET", "/me", key=key)["permissions"] == ["executions:list"]
    row = table.get_by_role("row", name="robot")
    expect(row).to_contain_text("executions:list")
    page.reload()
    expect(row).to_be_visible()
    assert key not in page.content()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    try:
        system.api("GET", "/me", key=key)
        raise SystemError("the key still works")
    except AssertionError as refused:
        assert "401" in str(refused)


def test_an_admin_follows_a_user_from_the_link_to_the_end_and_back(visit, system):
    page = visit().sign_in("/users")
    page.get_by_label("Email").fill("life@example.com")
    page.get_by_label("Role").select_option("viewer")
    page.get_by_role("button", name="Create").click()
    lost = page.get_by_label("Claim link").inner_text()
    row = page.get_by_role("row", name="life@example.com")
    expect(row).to_contain_text("has no key yet")
    row.get_by_role("link", name="life@example.com").click()
    expect(page.locator("h1")).to_have_text("life@example.com")
    page.get_by_role("button", name="New link").click()
    link = page.get_by_label("Claim link").inner_text()
    assert link != lost
    key = system.api("GET", "/claim/" + link.rsplit("/", 1)[1])["api_key"]
    page.get_by_label("Role").select_option("developer")
    expect(page.get_by_text("is developer now")).to_be_visible()
    assert system.api("GET", "/me", key=key)["role"] == "developer"
    page.get_by_label("Role").select_option("runner")
    expect(page.get_by_text("is runner now")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Role")).to_have_value("runner")
    assert system.api("GET", "/me", key=key)["role"] == "runner"
    keys = page.get_by_role("table", name="Keys").get_by_role("row")
    expect(keys).to_have_count(2)
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("definition").filter(has_text="revoked")).to_be_visible()
    page.get_by_role("button", name="Let in again").click()
    expect(page.get_by_role("button", name="Revoke")).to_be_visible()
    assert system.api("GET", "/me", key=key)["role"] == "runner"
    page.get_by_role("button", name=re.compile("Delete the key")).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No key:")).to_be_visible()
    expect(page.get_by_role("table", name="Audit of")).to_contain_text("users:revoke")
    page.goto("/users?email=admin@runvoy.local")
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("dialog")).to_contain_text("This is you")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert system.api("GET", "/me")["email"] == "admin@runvoy.local"


def test_another_image_becomes_the_default(visit, system):
    system.api("POST", "/images/register", {"image": "example/next-default:1", "cpu": 512, "memory": 1024})
    before = next(one for one in system.api("GET", "/images")["images"] if one["is_default"])
    page = visit().sign_in("/images")
    row = page.get_by_role("row", name="example/next-default:1")
    row.get_by_role("button", name="Make default example/next-default:1").click()
    expect(row.locator(".tag")).to_have_text("default")
    page.goto("/images?image=" + before["image_id"])
    page.get_by_role("button", name="Make default").click()
    expect(page.locator("h1 .tag")).to_have_text("default")
    assert [one["image_id"] for one in system.api("GET", "/images")["images"] if one["is_default"]] == [before["image_id"]]
    system.api("DELETE", "/images/example%2Fnext-default:1")
