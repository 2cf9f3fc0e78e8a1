/** Shows the health of the server, reconciles, and finds what belongs to a request. */

import { local } from "../format.js";
import { element, fill } from "../ui/dom.js";
import { field, form, input } from "../ui/form.js";
import { row, table } from "../ui/table.js";

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function operationsPage({ api, address, may, left }) {
  const health = element("p", { class: "note" });
  const trace = may("requests:trace") ? tracing(api) : undefined;
  return {
    title: "Operations",
    body: element("div", {}, element("h1", {}, "Operations"), health, may("health:reconcile") && reconciling(api), trace?.element),
    shown: async () => {
      const request = address.searchParams.get("request");
      if (request) trace?.show(request);
      const { version, region, provider } = await api.get("/health", left).catch(() => ({}));
      if (version) health.textContent = `runvoy ${version} on ${provider}, ${region}`;
    },
  };
}

/** @param {import("../api.js").Api} api */
function reconciling(api) {
  const result = element("div", { role: "status" });
  const made = form({
    body: [],
    action: "Reconcile",
    send: async () => {
      fill(result, element("p", { class: "note" }, "Comparing…"));
      try {
        const { report } = await api.post("/health/reconcile", {});
        fill(result, ...reportParts(report));
      } catch (error) {
        fill(result);
        throw error;
      }
    },
  });
  return element("section", {},
    element("h2", {}, "Reconcile"),
    element("p", { class: "note" }, "Compares the tables with AWS: recreates task definitions that are missing, closes executions whose task is gone, and reports what a person has to mend. It deletes nothing."),
    made, result);
}

/** @param {any} report */
function reportParts(report) {
  const { compute_status: compute, secrets_status: secrets, identity_status: identity, authorizer_status: authorizer } = report;
  const facts = {
    "Task definitions": `${compute.verified_count} of ${compute.total_resources} verified, ${compute.recreated_count} recreated, ${compute.orphaned_count} orphaned`,
    Secrets: `${secrets.verified_count} of ${secrets.total_secrets} verified, ${secrets.missing_count} without a value, ${secrets.orphaned_count} orphaned`,
    Roles: `${identity.default_roles_verified ? "default roles exist" : "default roles are missing"}, ${identity.custom_roles_verified} of ${identity.custom_roles_total} custom roles exist`,
    Users: `${authorizer.total_users_checked} users and ${authorizer.total_resources_checked} resources checked`,
  };
  const parts = [
    element("p", {}, `${report.reconciled_count} mended, ${report.error_count} errors, at ${local(report.timestamp)}.`),
    element("dl", { class: "facts" }, ...Object.entries(facts).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
  ];
  if (report.issues.length === 0) return [...parts, element("p", { class: "note" }, "Nothing to report.")];
  const issues = table("Issues", ["Severity", "Resource", "What", "Done or to do"]);
  fill(issues.body, ...report.issues.map((/** @type {any} */ issue) =>
    row([element("span", { class: "tag", "data-severity": issue.severity }, issue.severity), `${issue.resource_type} ${issue.resource_id}`, issue.message, issue.action])));
  return [...parts, issues.element];
}

/** @param {import("../api.js").Api} api */
function tracing(api) {
  const id = field("Request id", input(), "From the header X-Request-Id, or from an execution");
  const result = element("div", { role: "status" });
  const send = async () => {
    if (id.control.value.trim() === "") return id.say("Enter a request id.");
    const { logs, is_cut: isCut, related_resources: related } = (await api.page(`/trace/${encodeURIComponent(id.control.value.trim())}`, undefined, { timeout: 35_000 })).data;
    fill(result, ...traceParts(logs, related), ...(isCut ? [element("p", { class: "note" }, "Some lines are left out: there are more than an answer takes.")] : []));
  };
  const made = form({ body: [id.element], fields: { request_id: id }, action: "Trace", send });
  return {
    element: element("section", { class: "narrow" },
      element("h2", {}, "Trace a request"),
      element("p", { class: "note" }, "The functions' own log lines with the id of a request, and what the request created or changed."),
      made, result),
    /** @param {string} request */
    show(request) {
      id.control.value = request;
      made.requestSubmit();
    },
  };
}

/** @param {import("../api.js").LogEvent[]} logs @param {Record<string, any[] | undefined>} related */
function traceParts(logs, related) {
  const parts = [];
  const resources = Object.entries(related).flatMap(([kind, list]) => (list ?? []).map((one) => ({ kind, one })));
  if (resources.length > 0) {
    const list = table("What the request created or changed", ["Kind", "Resource"]);
    fill(list.body, ...resources.map(({ kind, one }) => row([kind.replace(/s$/, ""), resourceName(one)])));
    parts.push(list.element);
  }
  if (logs.length === 0) parts.push(element("p", { class: "note" }, "No log line has this id. Lines appear in CloudWatch some seconds after the request."));
  else {
    const lines = table("Log lines", ["Time", "Level", "What happened"]);
    fill(lines.body, ...logs.map(logRow));
    parts.push(lines.element);
  }
  return parts;
}

/** A line of a function's log: JSON with a level, a message and fields. Any other line is shown as it is. @param {import("../api.js").LogEvent} line */
function logRow({ timestamp, message }) {
  const time = element("time", { datetime: new Date(timestamp).toISOString(), title: new Date(timestamp).toISOString() }, local(new Date(timestamp).toISOString()));
  /** @type {Record<string, unknown>} */
  let parts;
  try {
    parts = JSON.parse(message);
  } catch {
    return row([time, "", element("code", { class: "wrap" }, message)]);
  }
  const { level, fields, target, span, spans, timestamp: _, message: plain, ...others } = /** @type {any} */ (parts);
  const { message: said = plain ?? "", ...named } = { ...others, ...fields };
  const severity = { ERROR: "error", WARN: "warning" }[/** @type {string} */ (level)] ?? "info";
  return row([
    time, element("span", { class: "tag", "data-severity": severity }, String(level ?? "").toLowerCase()),
    [
      element("span", {}, said),
      element("dl", { class: "fields-of-line" }, ...Object.entries(named).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, typeof value === "string" ? value : JSON.stringify(value))])),
      element("details", {}, element("summary", { class: "hint" }, "As it was written"), element("code", { class: "wrap" }, message)),
    ],
  ]);
}

/** @param {any} one */
const resourceName = (one) =>
  one.execution_id ? element("a", { href: `/logs?execution_id=${encodeURIComponent(one.execution_id)}` }, one.execution_id) : (one.image_id ?? one.name ?? one.email ?? "");
