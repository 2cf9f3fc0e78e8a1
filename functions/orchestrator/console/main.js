/** Starts the console: who is signed in, which page is shown, and the frame around it. */

import { Api, ApiError, describe } from "./api.js";
import { Connection } from "./connection.js";
import { frame } from "./frame.js";
import { adoptKey, forgetKey, keepKey, keyOfOthers, shareSession, storedKey, tellSignedIn, tellSignedOut } from "./session.js";
import { listenForKeys, showPalette } from "./palette.js";
import { applyTheme } from "./theme.js";
import { element, fill } from "./ui/dom.js";
import { auditPage } from "./pages/audit.js";
import { tellEnd } from "./pages/browser-notifications.js";
import { claimPage } from "./pages/claim.js";
import { docsPage } from "./pages/docs.js";
import { executionPage } from "./pages/execution.js";
import { executionsPage } from "./pages/executions.js";
import { imagesPage } from "./pages/images.js";
import { keysPage } from "./pages/keys.js";
import { locksPage } from "./pages/locks.js";
import { notificationsPage } from "./pages/notifications.js";
import { operationsPage } from "./pages/operations.js";
import { overviewPage } from "./pages/overview.js";
import { playbooksPage } from "./pages/playbooks.js";
import { outboxPage } from "./pages/outbox.js";
import { runPage } from "./pages/run.js";
import { schedulesPage } from "./pages/schedules.js";
import { secretsPage } from "./pages/secrets.js";
import { signInPage } from "./pages/sign-in.js";
import { usersPage } from "./pages/users.js";

/**
 * The context of a page: all that it works with.
 * @typedef {object} Context
 * @property {Api} api
 * @property {import("./api.js").Me} me
 * @property {URL} address
 * @property {(permission: string) => boolean} may whether the person may do this to any resource, such as "images:register"
 * @property {(path: string) => void} go
 * @property {Connection} connection
 * @property {(load: () => Promise<void>, report: (text: string) => void) => Promise<void>} load loads what a page shows: says why it fails,
 *   and does it once more when the server answers again
 * @property {AbortSignal} left aborted when another page is shown
 */
/** @typedef {{title: string, body: HTMLElement, shown?: () => void, isWide?: boolean}} Page */

/**
 * The places of the console, as the navigation has them. A place with `needs` is for people with one of these permissions.
 * @type {(import("./frame.js").Place & {needs?: string[], page: (context: Context) => Page})[]}
 */
const PLACES = [
  { path: "/", name: "Executions", icon: "executions", group: "Runs", page: (context) => executionsPage(context) },
  { path: "/overview", name: "Overview", icon: "overview", group: "Runs", needs: ["executions:list"], page: (context) => overviewPage(context) },
  { path: "/run", name: "Run", icon: "run", group: "Runs", needs: ["executions:run"], page: (context) => runPage(context) },
  { path: "/playbooks", name: "Playbooks", icon: "playbooks", group: "Runs", needs: ["playbooks:list"], page: (context) => playbooksPage(context) },
  { path: "/schedules", name: "Schedules", icon: "schedules", group: "Runs", needs: ["schedules:list"], page: (context) => schedulesPage(context) },
  { path: "/locks", name: "Locks", icon: "locks", group: "Runs", needs: ["locks:list"], page: (context) => locksPage(context) },
  { path: "/images", name: "Images", icon: "images", group: "Resources", needs: ["images:list"], page: (context) => imagesPage(context) },
  { path: "/secrets", name: "Secrets", icon: "secrets", group: "Resources", needs: ["secrets:list"], page: (context) => secretsPage(context) },
  { path: "/notifications", name: "Notifications", icon: "notifications", group: "Resources", needs: ["notifications:list"], page: (context) => notificationsPage(context) },
  { path: "/users", name: "Users", icon: "users", group: "Administration", needs: ["users:list"], page: (context) => usersPage(context) },
  { path: "/audit", name: "Audit", icon: "audit", group: "Administration", needs: ["audit:read"], page: (context) => auditPage(context) },
  { path: "/operations", name: "Operations", icon: "operations", group: "Administration", needs: ["health:reconcile", "requests:trace"], page: (context) => operationsPage(context) },
  { path: "/keys", name: "Keys", icon: "keys", group: "You", page: (context) => keysPage(context) },
  { path: "/docs", name: "API", icon: "docs", group: "You", page: (context) => docsPage(context.api) },
];

const app = /** @type {HTMLElement} */ (document.getElementById("app"));
const content = element("main", { id: "content", tabindex: -1 });
let leave = new AbortController();
/** Ends when the person signs out, or another one signs in. */
let session = new AbortController();
/** Path and query of the page that is shown. */
let shown = "";
const connection = new Connection();
/** @type {Api} */
let api;
/** @type {import("./api.js").Me | undefined} */
let me;
/** @type {ReturnType<typeof frame> | undefined} */
let bar;

/** Signs in with the key that is kept, and shows the page of the address. @param {string} [message] for the page on which one signs in */
async function start(message) {
  const address = new URL(location.href);
  leave.abort();
  leave = new AbortController();
  session.abort();
  session = new AbortController();
  me = undefined;
  const { signal } = leave;
  const isClaim = address.pathname.startsWith("/claim/");
  if (storedKey() === undefined && !isClaim) {
    const key = await keyOfOthers();
    if (signal.aborted) return;
    if (key !== undefined) adoptKey(key);
  }
  const { signal: signedOut } = session;
  // An answer to someone who has signed out meanwhile says nothing of the next one.
  api = new Api(storedKey(), (error) => signedOut.aborted || signOut(error.details), connection);
  const mine = api;
  mine.onStarted = (id) => void tellEnd(mine, id, signedOut);
  if (isClaim) return alone(claimPage(address, (key) => (keepKey(key, false), tellSignedIn(key), go("/"), start())));
  if (api.key === undefined) {
    forgetKey();
    if (isDocs(address)) return alone(docsPage(api));
    return alone(signInPage(signIn, message));
  }
  try {
    const person = await api.get("/me", signal);
    if (signal.aborted) return;
    me = person;
  } catch (error) {
    if (signal.aborted || (error instanceof ApiError && error.status === 401)) return;
    connection.addEventListener("back", () => start(), { signal });
    return alone(troublePage(describe(error)));
  }
  showFrame();
  show();
}

/** @param {string} key @param {boolean} remember */
async function signIn(key, remember) {
  await new Api(key).get("/me");
  keepKey(key, remember);
  tellSignedIn(key);
  await start();
}

/** @param {string} [message] */
function signOut(message) {
  forgetKey();
  tellSignedOut();
  start(message);
}

/** @param {URL} address */
const isDocs = (address) => ["/docs", "/api/v1/docs"].includes(address.pathname);

/** A page without the frame around it. @param {Page} page */
function alone(page) {
  document.title = `${page.title} · runvoy`;
  fill(app, connection.element, element("main", { class: page.isWide ? "content" : "alone" }, page.body));
  page.shown?.();
}

/** @param {string} problem @returns {Page} */
const troublePage = (problem) => ({
  title: "Not available",
  body: element("div", {},
    element("h1", {}, "runvoy does not answer"),
    element("p", {}, problem),
    element("div", { class: "buttons" }, element("button", { class: "primary", onclick: () => start() }, "Try again"))),
});

/** The places that the person may use. */
const places = () => PLACES.filter(({ needs }) => !needs || needs.some(may));

function leaveConsole() {
  history.replaceState(null, "", "/");
  signOut();
}

function palette() {
  if (me) showPalette({ places: places(), api, may, go, signOut: leaveConsole });
}

/** Shows the frame around the pages. */
function showFrame() {
  if (!me) return;
  bar = frame({ places: places(), me, connection: connection.element, content, signOut: leaveConsole, palette });
  fill(app, ...bar.elements);
}

/** @param {() => Promise<void>} load @param {(text: string) => void} report @param {AbortSignal} left */
async function loadFor(load, report, left) {
  try {
    await load();
  } catch (error) {
    if (left.aborted) return;
    report(describe(error));
    if (error instanceof ApiError && error.isPassing) {
      connection.addEventListener("back", () => loadFor(load, report, left), { once: true, signal: left });
    }
  }
}

/** @param {string} permission */
const may = (permission) => me?.permissions.includes(permission) ?? false;

/** Shows the page of the address. */
function show() {
  if (!me) return;
  leave.abort();
  leave = new AbortController();
  const address = new URL(location.href);
  shown = address.pathname + address.search;
  const { signal: left } = leave;
  const page = find(address)({ api, me, address, may, go, left, connection, load: (load, report) => loadFor(load, report, left) });
  document.title = `${page.title} · runvoy`;
  content.className = page.isWide ? "content wide" : "content";
  fill(content, page.body);
  bar?.show(isDocs(address) ? "/docs" : address.pathname.replace(/^\/logs$/, "/"));
  page.shown?.();
}

/** @param {URL} address @returns {(context: Context) => Page} */
function find(address) {
  const id = address.searchParams.get("execution_id");
  if (id && ["/", "/logs"].includes(address.pathname)) return (context) => executionPage(context, id);
  if (isDocs(address)) return ({ api }) => docsPage(api);
  // The local system serves this page, and AWS does not.
  if (address.pathname === "/outbox") return outboxPage;
  const place = PLACES.find(({ path }) => path === address.pathname);
  if (!place) return executionsPage;
  return place.needs && !place.needs.some(may) ? () => forbiddenPage(place.name) : place.page;
}

/** @param {string} name @returns {Page} */
const forbiddenPage = (name) => ({
  title: name,
  body: element("div", {}, element("h1", {}, name), element("p", {}, `The role ${me?.role} may not use this page. An admin can give you another one.`)),
});

/** Goes to another page of the console. @param {string} path */
function go(path) {
  history.pushState(null, "", path);
  show();
  content.focus({ preventScroll: true });
  scrollTo(0, 0);
}

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a") : undefined;
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || event.defaultPrevented || link.origin !== location.origin || link.download || link.target) return;
  const isConsole = PLACES.some(({ path }) => path === link.pathname) || ["/logs", "/outbox"].includes(link.pathname);
  const isHere = link.pathname === location.pathname && link.search === location.search && link.hash !== "";
  if (!me || !isConsole || isHere) return;
  event.preventDefault();
  go(link.pathname + link.search + link.hash);
});
// A change of the hash alone belongs to the page that is shown.
addEventListener("popstate", () => location.pathname + location.search !== shown && show());
addEventListener("online", () => connection.try());
shareSession(() => start());
// Signing out in one tab signs out all that share the key.
addEventListener("storage", ({ key }) => (key === "runvoy.key" || key === null) && storedKey() !== api.key && start());

listenForKeys(palette);
applyTheme();
start();
