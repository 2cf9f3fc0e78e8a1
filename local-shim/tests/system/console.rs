//! The files of the web console, as the orchestrator serves them. What the pages do is tested in a browser.

use axum::http::Method;
use local_shim::{ORCHESTRATOR, Settings};
use serde_json::json;

use crate::client::{Caller, System, id};

/// Somebody without a key who asks for pages and not for the API.
fn visitor(system: &System) -> Caller {
    let origin = format!("http://localhost:{}", system.shim.orchestrator.port());
    Caller::new(&origin, &system.admin.events, "")
}

/// The files that a page names.
fn files(page: &str) -> Vec<&str> {
    page.split('"').filter(|text| text.starts_with("/console/")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_files_need_no_key_and_no_aws_call() {
    let system = System::start().await;
    let visitor = visitor(&system);
    let before = system.shim.aws_calls(ORCHESTRATOR);
    for path in
        ["/", "/logs?execution_id=x", "/run", "/images", "/users/", "/docs", "/api/v1/docs", "/claim/some-token"]
    {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8", "{path}");
        assert_eq!(page.headers["cache-control"], "no-cache", "{path}");
        assert!(!files(&page.text).is_empty());
        for file in files(&page.text) {
            let served = visitor.get(file).await;
            assert_eq!(served.status, 200, "{file}");
            assert!(served.headers["cache-control"].to_str().unwrap().contains("immutable"), "{file}");
        }
    }
    assert_eq!(system.shim.aws_calls(ORCHESTRATOR), before);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_keeps_what_has_not_changed() {
    let system = System::start().await;
    let visitor = visitor(&system);
    let page = visitor.get("/").await;
    let script = files(&page.text).into_iter().find(|file| file.ends_with("/main.js")).unwrap().to_owned();
    for path in ["/", &script] {
        let etag = visitor.get(path).await.headers["etag"].to_str().unwrap().to_owned();
        for known in [etag.clone(), format!("\"other\", W/{etag}"), "*".to_owned()] {
            let again = visitor.request(Method::GET, path, &[("if-none-match", &known)], "").await;
            assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""), "{path} {known}");
        }
        let other = visitor.request(Method::GET, path, &[("if-none-match", "\"other\"")], "").await;
        assert_eq!(other.status, 200);
        let head = visitor.request(Method::HEAD, path, &[], "").await;
        assert_eq!((head.status.as_u16(), head.headers["etag"].to_str().unwrap()), (200, etag.as_str()));
    }
    // A page that is still open after an update gets a file under its old address, and does not keep it.
    let old = visitor.get("/console/0000000000000000/main.js").await;
    assert_eq!((old.status.as_u16(), old.headers["cache-control"].to_str().unwrap()), (200, "no-cache"));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_run_their_own_scripts_only() {
    let system = System::start().await;
    let visitor = visitor(&system);
    let port = system.shim.orchestrator.port();
    for path in ["/", "/no-such-page"] {
        let page = visitor.get(path).await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        for part in
            ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(policy.contains(&format!("connect-src 'self' ws://localhost:{port};")), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        assert!(!page.text.contains("http://") && !page.text.contains("https://"), "nothing from other hosts");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_does_not_exist_is_html_and_a_path_of_the_api_is_json() {
    let system = System::start().await;
    let visitor = visitor(&system);
    for path in [
        "/no-such-page",
        "/claim",
        "/claim/a/b",
        "/console/x/no.js",
        "/console/x/index.html",
        "/console/x/..%2Fmain.js",
        "/apis",
    ] {
        let page = visitor.get(path).await;
        assert_eq!(
            (page.status.as_u16(), page.headers["content-type"].to_str().unwrap()),
            (404, "text/html; charset=utf-8"),
            "{path}"
        );
    }
    for path in ["/api", "/api/v1", "/api/v1/nothing", "/api/v2/health"] {
        let answer = visitor.get(path).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (404, &json!("NOT_FOUND")), "{path}");
    }
    let posted = visitor.post("/no-such-page", &json!({})).await;
    assert_eq!((posted.status.as_u16(), &posted.json()["code"]), (404, &json!("NOT_FOUND")));
    let posted = visitor.post("/run", &json!({})).await;
    assert_eq!((posted.status.as_u16(), &posted.json()["code"]), (405, &json!("METHOD_NOT_ALLOWED")));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_lead_to_the_console_or_to_the_web_app_that_is_set() {
    let app = "https://app.example.com/runvoy".to_owned();
    for web_url in [None, Some(app)] {
        let mut settings = Settings::ephemeral();
        settings.overrides.extend(web_url.clone().map(|url| ("RUNVOY_WEB_URL".to_owned(), url)));
        let system = System::start_with(settings).await;
        let own = format!("http://localhost:{}", system.shim.orchestrator.port());
        let address = web_url.as_ref().unwrap_or(&own);
        let run = system.admin.run("true").await;
        assert_eq!(run["log_url"], format!("{address}/logs?execution_id={}", id(&run)));
        let created =
            system.admin.post("/users/create", &json!({"email": "a@example.com", "role": "viewer"})).await.json();
        assert_eq!(created["claim_url"], format!("{address}/claim/{}", created["claim_token"].as_str().unwrap()));
        // Looking at the page of a claim, as previews of links do, claims nothing.
        let page = visitor(&system).get(&format!("/claim/{}", created["claim_token"].as_str().unwrap())).await;
        assert_eq!(page.status, 200);
        let claim = format!("/claim/{}", created["claim_token"].as_str().unwrap());
        assert_eq!(system.admin.get(&claim).await.status, 200);
        system.shim.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_execution_is_shown_as_the_list_has_it() {
    let system = System::start().await;
    let (execution, _) = system.admin.run_to_end(json!({"command": "exit 3"})).await;
    let listed = system.admin.get("/executions").await.json()[0].clone();
    let mut shown = system.admin.get(&format!("/executions/{execution}")).await.json();
    // One execution also has what was asked, for those who may run it again.
    assert_eq!(shown.as_object_mut().unwrap().remove("request").unwrap()["command"], "exit 3");
    assert_eq!(shown, listed);
    let unknown = system.admin.get(&format!("/executions/{}", "0".repeat(32))).await;
    assert_eq!(unknown.status, 404);
    system.shim.shut_down().await;
}
