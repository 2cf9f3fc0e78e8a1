//! Serves the web console. Its files are part of the program, and served without a key and without an AWS call. They ask the API
//! for the content that they show, with the key of the person who looks.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use runvoy_core::App;
use sha2::{Digest, Sha256};

/// The paths of the console's pages. All are the same document, whose script shows what the path says.
const PAGES: &[&str] = &[
    "/",
    "/logs",
    "/overview",
    "/run",
    "/playbooks",
    "/images",
    "/schedules",
    "/locks",
    "/secrets",
    "/notifications",
    "/users",
    "/audit",
    "/operations",
    "/keys",
    "/docs",
    "/api/v1/docs",
    "/claim/{token}",
];

/// Names files below `console/`, with their contents.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../console/", $name)))),*]
    };
}

/// The files of the console, by the path at which each is served.
const FILES: &[(&str, &str)] = files![
    "api.js",
    "connection.js",
    "console.css",
    "cron.js",
    "env.js",
    "format.js",
    "frame.js",
    "icon-failed.svg",
    "icon-running.svg",
    "icon-stopped.svg",
    "icon-succeeded.svg",
    "icon.svg",
    "index.html",
    "limits.js",
    "log/client.js",
    "log/find-bar.js",
    "log/find.js",
    "log/follow.js",
    "log/lines.js",
    "log/log.css",
    "log/own.js",
    "log/scroll.js",
    "log/shape.js",
    "log/store.js",
    "log/text.js",
    "log/view.js",
    "log/viewport.js",
    "log/worker.js",
    "main.js",
    "not-found.html",
    "palette.js",
    "pauses.js",
    "pages/approvals.js",
    "pages/audit-entries.js",
    "pages/audit.js",
    "pages/browser-notifications.js",
    "pages/claim.js",
    "pages/deliveries.js",
    "pages/docs.js",
    "pages/execution-list.js",
    "pages/execution.js",
    "pages/executions.js",
    "pages/export.js",
    "pages/image.js",
    "pages/images.js",
    "pages/keys.js",
    "pages/lock-form.js",
    "pages/lock-parts.js",
    "pages/lock.js",
    "pages/locks.js",
    "pages/notifications.js",
    "pages/operations.js",
    "pages/outbox.js",
    "pages/overview.js",
    "pages/paged-list.js",
    "pages/playbook-editor.js",
    "pages/playbook.js",
    "pages/playbooks.js",
    "pages/rerun.js",
    "pages/run.js",
    "pages/schedule-actions.js",
    "pages/schedule-form.js",
    "pages/schedule.js",
    "pages/schedules.js",
    "pages/secret.js",
    "pages/secrets.js",
    "pages/selection.js",
    "pages/sharing.js",
    "pages/sign-in.js",
    "pages/user.js",
    "pages/users.js",
    "pages/variables.js",
    "playbook-file.js",
    "session.js",
    "theme.js",
    "ui/copy.js",
    "ui/dialog.js",
    "ui/dom.js",
    "ui/form.js",
    "ui/image-name.js",
    "ui/picker.js",
    "ui/plot.js",
    "ui/status.js",
    "ui/table.js",
    "ui/toast.js",
];

/// A hash of all files; it changes when any of them does. It is part of the files' addresses, so that browsers keep each file for good.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, text) in FILES {
        hash.update(name);
        hash.update([0]);
        hash.update(text);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
});

/// The pages, and the files that they load.
pub(crate) fn routes() -> Router<App> {
    let files = Router::new().route("/console/{version}/{*name}", get(file));
    PAGES.iter().fold(files, |router, path| router.route(path, get(page)))
}

async fn page(State(app): State<App>, headers: HeaderMap) -> Response {
    document(&app, &headers, StatusCode::OK, "index.html")
}

/// The page that a browser gets for a path that does not exist.
pub(crate) fn not_found(app: &App) -> Response {
    document(app, &HeaderMap::new(), StatusCode::NOT_FOUND, "not-found.html")
}

fn document(app: &App, headers: &HeaderMap, status: StatusCode, name: &str) -> Response {
    let text = find(name).unwrap_or_default().replace("{files}", &format!("/console/{}", *VERSION));
    answer(app, headers, status, "text/html; charset=utf-8", "no-cache", text)
}

async fn file(State(app): State<App>, headers: HeaderMap, Path((version, name)): Path<(String, String)>) -> Response {
    let content_type = match name.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => return not_found(&app),
    };
    let Some(text) = find(&name) else { return not_found(&app) };
    // A page of an earlier version, which is still open, gets the present file and does not keep it.
    let caching = if version == *VERSION { "public, max-age=31536000, immutable" } else { "no-cache" };
    answer(&app, &headers, StatusCode::OK, content_type, caching, text.to_owned())
}

fn find(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(file, _)| *file == name).map(|(_, text)| *text)
}

fn answer(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    content_type: &'static str,
    caching: &'static str,
    text: String,
) -> Response {
    // Weak, because the same text is sent compressed in several ways, whose bytes differ (RFC 9110, section 8.8.1).
    let etag = format!("W/\"{}\"", *VERSION);
    let is_known = status == StatusCode::OK
        && headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok()).is_some_and(|known| {
            known
                .split(',')
                .any(|one| one.trim().trim_start_matches("W/") == etag.trim_start_matches("W/") || one.trim() == "*")
        });
    let mut answer = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        (status, [(header::CONTENT_TYPE, content_type)], text).into_response()
    };
    let fields = [
        (header::ETAG, etag),
        (header::CACHE_CONTROL, caching.to_owned()),
        (header::CONTENT_SECURITY_POLICY, content_security_policy(app)),
        // The address of a claim has its token.
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin".to_owned()),
    ];
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// The Content-Security-Policy: pages may load and call their own files, the API, and the WebSocket of live logs ("Content Security Policy Level 3").
/// Scripts cannot turn text into markup or code, except for the address of the log viewer's worker.
fn content_security_policy(app: &App) -> String {
    let live_logs = app.config.websocket_origin();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; worker-src 'self'; \
         connect-src 'self' {live_logs}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types runvoy"
    )
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    fn names_below(folder: &Path, base: &Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names_below(&path, base, names);
            } else {
                names.insert(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_the_console_is_part_of_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
        let mut names = BTreeSet::new();
        names_below(&folder, &folder, &mut names);
        let served = ["js", "css", "svg", "html"];
        names.retain(|name| {
            !name.ends_with(".test.js") && name.rsplit_once('.').is_some_and(|(_, kind)| served.contains(&kind))
        });
        let embedded: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names, embedded);
    }

    #[test]
    fn no_page_has_a_script_or_style_of_its_own() {
        for (name, text) in FILES.iter().filter(|(name, _)| name.ends_with(".html")) {
            assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains(" on"), "{name}");
            assert!(text.matches("<script").count() == text.matches("<script type=\"module\" src=").count(), "{name}");
        }
    }
}
