//! Every call of AWS that a request makes fails once, in every way. The answer must say so; nothing may be left half done that
//! the next attempt or reconcile does not repair; and nothing may run twice.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_smithy_async::time::SharedTimeSource;
use axum::http::Method;
use futures_util::{StreamExt, stream};
use local_shim::{
    Settings,
    aws::faults::{Call, Fault},
};
use serde_json::{Value, json};

use crate::client::{Answer, MovedClock, System};

/// A request, its status when nothing fails, and its status when an earlier attempt had taken effect.
#[derive(Clone, Copy)]
struct Case {
    method: &'static str,
    path: &'static str,
    body: &'static str,
    done: u16,
    again: &'static [u16],
}

const fn case(method: &'static str, path: &'static str, body: &'static str, done: u16, again: &'static [u16]) -> Case {
    Case { method, path, body, done, again }
}

/// `{execution}`, `{image}` and `{marker}` are replaced by those of the system under test.
const CASES: [Case; 24] = [
    case("GET", "/executions?status=SUCCEEDED", "", 200, &[200]),
    case("GET", "/executions/{execution}/status", "", 200, &[200]),
    case("GET", "/executions/{execution}/logs", "", 200, &[200]),
    case("GET", "/users", "", 200, &[200]),
    case("POST", "/users/create", r#"{"email": "new@example.com", "role": "viewer"}"#, 201, &[201, 409]),
    case("POST", "/users/revoke", r#"{"email": "old@example.com"}"#, 200, &[200]),
    case("GET", "/images/made:1", "", 200, &[200]),
    case(
        "POST",
        "/images/register",
        r#"{"image": "new:1", "is_default": true, "task_role_name": "runvoy-local-TaskRole"}"#,
        201,
        &[201],
    ),
    case("DELETE", "/images/{image}", "", 200, &[200, 404]),
    case("GET", "/secrets", "", 200, &[200]),
    case("GET", "/secrets/kept", "", 200, &[200]),
    case("POST", "/secrets", r#"{"name": "new", "key_name": "NEW", "value": "v"}"#, 201, &[201, 409]),
    case("PUT", "/secrets/kept", r#"{"value": "w"}"#, 200, &[200]),
    case("DELETE", "/secrets/kept", "", 200, &[200, 404]),
    case("POST", "/run", r#"{"command": "echo run >> {marker}", "secrets": ["kept"]}"#, 202, &[202]),
    case("POST", "/health/reconcile", "", 200, &[200]),
    case("GET", "/trace/00000000-0000-4000-8000-000000000000", "", 200, &[200]),
    case("PUT", "/users/old@example.com", r#"{"role": "operator", "revoked": true}"#, 200, &[200]),
    case("POST", "/users/old@example.com/claim", "", 201, &[201]),
    case("POST", "/keys", r#"{"name": "another"}"#, 201, &[201]),
    case("PUT", "/secrets/kept/owners", r#"{"owned_by": ["old@example.com"]}"#, 200, &[200]),
    case("PUT", "/images/{image}/sharing", r#"{"shared_with": ["role:developer"]}"#, 200, &[200]),
    case("PUT", "/executions/{execution}/owners", r#"{"owned_by": ["old@example.com"]}"#, 200, &[200]),
    // Without an actor or a resource, each day of the audit is a call.
    case("GET", "/audit?actor=admin@runvoy.local", "", 200, &[200]),
];

struct Prepared {
    system: System,
    clock: MovedClock,
    execution: String,
    image: String,
    marker: tempfile::NamedTempFile,
}

/// How far a request has come when the system is checked.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// One of its calls failed.
    Interrupted,
    /// It was sent again, and nothing failed.
    Done,
}

impl Prepared {
    async fn start() -> Self {
        let clock = MovedClock::default();
        let settings = Settings {
            clock: Some(SharedTimeSource::new(clock.clone())),
            call_timeout: Some(Duration::from_millis(300)),
            ..Settings::ephemeral()
        };
        let system = System::start_with(settings).await;
        let admin = &system.admin;
        let (execution, _) = admin.run_to_end(json!({"command": "echo hello"})).await;
        let made = admin.post("/images/register", &json!({"image": "made:1", "is_default": true})).await;
        assert_eq!(made.status, 201);
        let image = admin.get("/images/made:1").await.json()["image_id"].as_str().unwrap().to_owned();
        let secret = json!({"name": "kept", "key_name": "KEPT", "value": "v"});
        assert_eq!(admin.post("/secrets", &secret).await.status, 201);
        let user = json!({"email": "old@example.com", "role": "viewer"});
        assert_eq!(admin.post("/users/create", &user).await.status, 201);
        Self { system, clock, execution, image, marker: tempfile::NamedTempFile::new().unwrap() }
    }

    async fn request(&self, case: &Case) -> Answer {
        let fill = |text: &str| {
            text.replace("{execution}", &self.execution)
                .replace("{image}", &self.image)
                .replace("{marker}", self.marker.path().to_str().unwrap())
        };
        // With this key, a repeated run is the same run.
        let headers = [("idempotency-key", "one")];
        let method = Method::from_bytes(case.method.as_bytes()).unwrap();
        self.system.admin.request(method, &fill(case.path), &headers, fill(case.body)).await
    }

    /// Makes the first `tries` attempts of the call with this number fail. Returns whether the call was made.
    fn arm(&self, number: usize, fault: Fault, tries: usize) -> Arc<Mutex<Vec<(String, String)>>> {
        let calls: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let seen = calls.clone();
        let tried = AtomicUsize::new(0);
        self.system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
            let mut seen = seen.lock().unwrap();
            let at = seen.iter().position(|(_, invocation)| invocation == call.invocation).unwrap_or_else(|| {
                seen.push((call.operation.to_owned(), call.invocation.to_owned()));
                seen.len() - 1
            });
            (at == number && tried.fetch_add(1, Ordering::Relaxed) < tries).then_some(fault)
        })));
        calls
    }

    /// What must hold when nothing is under way any more.
    async fn check(&self, case: &Case, what: &str, state: State) {
        let admin = &self.system.admin;
        // Moves the clock until a change that was left halfway counts as abandoned.
        self.clock.move_on(Duration::from_mins(2));
        let reconciled = admin.request(Method::POST, "/health/reconcile", &[], "").await;
        assert_eq!(reconciled.status, 200, "{what}: {}", reconciled.text);
        let report = reconciled.json()["report"].clone();
        assert_eq!(report["error_count"], 0, "{what}: {report:#}");
        assert_eq!(report["secrets_status"]["missing_count"], 0, "{what}: {report:#}");
        assert_eq!(report["secrets_status"]["orphaned_count"], 0, "{what}: {report:#}");
        if state == State::Done || case.path != "/images/register" {
            // A task definition whose image could not be stored costs nothing and runs nothing, so it may stay.
            assert_eq!(report["compute_status"]["orphaned_count"], 0, "{what}: {report:#}");
        }

        let secrets = admin.get("/secrets").await.json();
        for secret in secrets["secrets"].as_array().unwrap() {
            let read = admin.get(&format!("/secrets/{}", secret["name"].as_str().unwrap())).await;
            assert_eq!(read.status, 200, "{what}: {}", read.text);
        }
        let images = admin.get("/images").await.json();
        let ids: BTreeSet<&str> =
            images["images"].as_array().unwrap().iter().map(|image| image["image_id"].as_str().unwrap()).collect();
        for name in ["ubuntu:22.04", "made:1", "new:1"] {
            let found = admin.get(&format!("/images/{name}")).await;
            let known = found.status == 404 || ids.contains(found.json()["image_id"].as_str().unwrap());
            assert!(known, "{what}: {name} stands for an image that is gone: {}", found.text);
        }
        let defaults = images["images"].as_array().unwrap().iter().filter(|image| image["is_default"] == true).count();
        assert!(defaults <= 1, "{what}: {defaults} defaults");
        let executions = admin.get("/executions?limit=0").await.json();
        for execution in executions.as_array().unwrap() {
            let id = crate::client::id(execution);
            admin.wait_for(&id, "SUCCEEDED").await;
        }
        if case.path == "/run" {
            let runs = std::fs::read_to_string(self.marker.path()).unwrap();
            assert!(runs == "run\n" || runs.is_empty() && state == State::Interrupted, "{what}: it ran {runs:?}");
            assert_eq!(executions.as_array().unwrap().len(), 1 + runs.lines().count(), "{what}: one execution for it");
        }
    }
}

/// The number counts retries too.
const EVERY_TRY: usize = usize::MAX;

/// Makes one call of a request fail, for all or only the first of its attempts. Returns whether the request makes as many
/// calls.
async fn go_wrong(case: Case, number: usize, fault: Fault, tries: usize) -> bool {
    let prepared = Prepared::start().await;
    let calls = prepared.arm(number, fault, tries);
    let answer = prepared.request(&case).await;
    prepared.system.shim.plan_faults(None);
    let Some((operation, _)) = calls.lock().unwrap().get(number).cloned() else {
        prepared.system.shim.shut_down().await;
        return false;
    };
    let what = format!("{} {} with call {number}, {operation}, {fault:?}", case.method, case.path);
    if answer.status != case.done {
        assert_eq!(tries, EVERY_TRY, "{what}: the next try went well: {} {}", answer.status, answer.text);
        let code = answer.json()["code"].clone();
        let is_right =
            code == if operation.starts_with("dynamodb:") { "DATABASE_ERROR" } else { "SERVICE_UNAVAILABLE" };
        assert!(answer.status == 503 && is_right, "{what}: {} {}", answer.status, answer.text);
        assert!(!answer.text.contains("planned"), "{what} shows AWS's own words: {}", answer.text);
    }
    prepared.check(&case, &what, State::Interrupted).await;
    let again = prepared.request(&case).await;
    assert!(case.again.contains(&again.status.as_u16()), "{what}, asked again: {} {}", again.status, again.text);
    prepared.check(&case, &what, State::Done).await;
    prepared.system.shim.shut_down().await;
    true
}

async fn every_call_goes_wrong(fault: Fault, tries: usize) {
    // For a request that only reads, a lost answer is the same as a failed call.
    let cases = CASES.into_iter().filter(|case| case.method != "GET" || fault == Fault::Fails);
    let reached: Vec<(Case, usize)> = stream::iter(cases)
        .map(|case| async move {
            let mut number = 0;
            while go_wrong(case, number, fault, tries).await {
                number += 1;
            }
            (case, number)
        })
        .buffer_unordered(4)
        .collect()
        .await;
    for (case, calls) in reached {
        assert!(calls >= 2, "{} {} made {calls} calls", case.method, case.path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_fails_is_a_503_and_leaves_nothing_half_done() {
    every_call_goes_wrong(Fault::Fails, EVERY_TRY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_answer_is_lost_has_its_effect_once() {
    every_call_goes_wrong(Fault::Lost, EVERY_TRY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_first_answer_alone_is_lost_is_made_again() {
    every_call_goes_wrong(Fault::Lost, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_throttled_is_a_503_and_leaves_nothing_half_done() {
    every_call_goes_wrong(Fault::Throttled, EVERY_TRY).await;
}

/// The SDK does not repeat a transaction that DynamoDB has cancelled because a key is throttled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_first_try_alone_is_throttled_is_made_again() {
    every_call_goes_wrong(Fault::Throttled, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_conflicts_with_another_is_made_again() {
    every_call_goes_wrong(Fault::Conflicts, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_never_answered_is_a_503_and_leaves_nothing_half_done() {
    every_call_goes_wrong(Fault::Hangs, EVERY_TRY).await;
}

/// A failure to look a key up is not the caller's fault, so it is never a 401.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_looked_up_is_not_refused() {
    let system = System::start().await;
    system.shim.plan_faults(Some(Arc::new(|_: Call<'_>| Some(Fault::Fails))));
    let answer = system.admin.get("/executions").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (503, &Value::from("DATABASE_ERROR")));
    system.shim.plan_faults(None);
    system.shim.shut_down().await;
}
