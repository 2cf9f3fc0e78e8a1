//! Tests of viewers: what WebSockets receive, and when they are closed.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_async::time::SharedTimeSource;
use futures_util::StreamExt;
use local_shim::{
    Settings,
    aws::faults::{Call, Fault},
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{
    MovedClock, Seen, System, TIMEOUT, Viewer, connect, connect_at_last, connect_with, id, watch, watch_on,
};

fn url(started: &Value) -> String {
    started["websocket_url"].as_str().unwrap().to_owned()
}

/// Each line once, the disconnect frame after the last line and nothing after that, then close code 1000.
fn assert_complete(seen: &Seen, log: &[String]) {
    assert_eq!(seen.log(), log);
    let ids: HashSet<String> = seen.lines().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), log.len());
    let last = seen.frames.last().unwrap();
    assert_eq!(*last, json!({"type": "disconnect", "reason": "execution_completed"}));
    assert_eq!(seen.frames.iter().filter(|frame| frame["type"] == "disconnect").count(), 1);
    assert_eq!(seen.close_code, Some(1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_before_during_and_after_the_run_see_every_line_once() {
    let system = System::start().await;
    // The command waits in the middle until the test writes a file, so that "during the run" is not a matter of time.
    let directory = tempfile::tempdir().unwrap();
    let may_end = directory.path().join("may-end");
    let command = format!(
        "for i in 1 2 3; do echo line $i; done; until [ -e '{}' ]; do sleep 0.02; done; for i in 4 5 6; do echo line $i; done",
        may_end.display()
    );
    let started = system.admin.run(&command).await;
    let id = id(&started);
    let has_half = |seen: &Seen| seen.messages().contains(&"line 3".to_owned());
    let before_batched = connect_at_last(&format!("{}&batch=true", url(&started))).await;
    let mut before = connect_at_last(&url(&started)).await;
    let mut seen = Seen::default();
    seen.read_until(&mut before, has_half).await;
    let watching = [tokio::spawn(watch_on(seen, before)), tokio::spawn(watch(before_batched))];
    let mut during = connect_at_last(&url(&started)).await;
    let mut seen = Seen::default();
    seen.read_until(&mut during, has_half).await;
    assert_eq!(system.admin.get(&format!("/executions/{id}/status")).await.json()["status"], "RUNNING");
    let during = tokio::spawn(watch_on(seen, during));
    std::fs::write(&may_end, "").unwrap();
    system.admin.wait_for(&id, "SUCCEEDED").await;
    let at_the_end = tokio::spawn(watch(connect_at_last(&url(&started)).await));
    let log = system.admin.log(&id).await;
    assert_eq!(log.iter().filter(|line| line.starts_with("line ")).count(), 6);
    for viewer in watching.into_iter().chain([during, at_the_end]) {
        assert_complete(&viewer.await.unwrap(), &log);
    }
    let long_after = watch(connect_at_last(&url(&started)).await).await;
    assert_complete(&long_after, &log);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promise_holds_under_chaos() {
    let stories = (1..=4).map(|seed| async move {
        let system = System::start_with(Settings { chaos: Some(seed), ..Settings::ephemeral() }).await;
        let started = system.admin.run("for i in $(seq 20); do echo line $i; sleep 0.05; done; exit 5").await;
        let viewers = ["", "&batch=true", "&status=true"].map(|wishes| {
            let url = format!("{}{wishes}", url(&started));
            tokio::spawn(async move { watch(connect_at_last(&url).await).await })
        });
        let status = system.admin.wait_for(&id(&started), "FAILED").await;
        assert_eq!(status["exit_code"], 5, "seed {seed}");
        let mut ids: Option<Vec<String>> = None;
        for viewer in viewers {
            let seen = viewer.await.unwrap();
            let mut known = HashSet::new();
            let once: Vec<(String, String)> =
                seen.lines().into_iter().filter(|(id, _)| known.insert(id.clone())).collect();
            let printed = once.iter().filter(|(_, line)| line.starts_with("line ")).count();
            assert_eq!(printed, 20, "seed {seed}: {once:#?}");
            assert_eq!(seen.frames.last().unwrap()["type"], "disconnect", "seed {seed}");
            let order: Vec<String> = once.into_iter().map(|(id, _)| id).collect();
            assert_eq!(*ids.get_or_insert(order.clone()), order, "seed {seed}: one order for all");
        }
        system.shim.shut_down().await;
    });
    futures_util::future::join_all(stories).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_who_asks_is_told_each_status_and_one_who_does_not_is_not() {
    let system = System::start().await;
    // It takes a second to end, so that there is time to tell that it is being stopped.
    let started = system.admin.run("trap 'sleep 1; exit' TERM; echo up; sleep 60 & wait").await;
    let id = id(&started);
    let mut told = connect_at_last(&format!("{}&status=true", url(&started))).await;
    let untold = tokio::spawn(watch(connect_at_last(&url(&started)).await));
    let running = json!({"type": "status", "status": "RUNNING"});
    let mut seen = Seen::default();
    seen.read_until(&mut told, |seen| seen.frames.contains(&running)).await;
    let told = tokio::spawn(watch_on(seen, told));
    assert_eq!(system.admin.delete(&format!("/executions/{id}")).await.status, 200);
    system.admin.wait_for(&id, "STOPPED").await;
    let frames = told.await.unwrap().frames;
    let mut kinds: Vec<&str> = frames.iter().map(|frame| frame["type"].as_str().unwrap_or("line")).collect();
    kinds.dedup();
    assert!(kinds.starts_with(&["status"]), "told before a log that may be long: {kinds:?}");
    assert!(kinds.ends_with(&["line", "status", "disconnect"]), "the end after the last line: {frames:?}");
    let statuses: Vec<Value> = frames.into_iter().filter(|frame| frame["type"] == "status").collect();
    let mut named: Vec<&str> = statuses.iter().map(|frame| frame["status"].as_str().unwrap()).collect();
    // The end of the command may be told before that of the task.
    named.dedup();
    // The viewer may have connected before the task ran, or after.
    let from_running = named.strip_prefix(&["STARTING"]).unwrap_or(&named);
    assert_eq!(from_running, ["RUNNING", "TERMINATING", "STOPPED"], "{statuses:?}");
    assert_eq!(statuses[0], json!({"type": "status", "status": named[0]}));
    assert_eq!(*statuses.last().unwrap(), json!({"type": "status", "status": "STOPPED", "exit_code": 130}));
    assert!(untold.await.unwrap().frames.iter().all(|frame| frame["type"] != "status"));
    system.shim.shut_down().await;
}

/// The nonce by which a run proves that a line is the runner's.
async fn nonce_of(system: &System, id: &str) -> String {
    let client = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let get = client.get_item().table_name("runvoy-local-executions");
    loop {
        let found = get.clone().key("execution_id", AttributeValue::S(id.to_owned())).send().await;
        // Under chaos, the record may come a little later.
        match found.unwrap().item.and_then(|item| Some(item.get("nonce")?.as_s().ok()?.clone())) {
            Some(nonce) => return nonce,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// An execution between the end of its command and that of its task, which comes when the test opens a gate.
struct Ending {
    id: String,
    viewer: Viewer,
    /// Frames up to the one that tells of the command's end.
    seen: Seen,
    directory: tempfile::TempDir,
}

impl Ending {
    /// Runs a command that prints 20 lines and then, once a viewer follows it, what the runner prints at the end, with the run's nonce.
    async fn of_run(system: &System) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (end, go) = (directory.path().join("end"), directory.path().join("go"));
        let started = system
            .admin
            .run(&format!(
                "for i in $(seq 20); do echo line $i; sleep 0.02; done; until [ -e '{0}' ]; do sleep 0.05; done; cat '{0}'; \
                until [ -e '{1}' ]; do sleep 0.05; done; exit 5",
                end.display(),
                go.display()
            ))
            .await;
        let id = id(&started);
        let mut viewer = connect_at_last(&format!("{}&status=true", url(&started))).await;
        let last_line =
            format!("### runvoy runner: command ended, exit code => 5 nonce={}\n", nonce_of(system, &id).await);
        std::fs::write(directory.path().join("new"), last_line).unwrap();
        std::fs::rename(directory.path().join("new"), &end).unwrap();
        let mut seen = Seen::default();
        let is_ending = |seen: &Seen| seen.frames.iter().any(|frame| frame["ending"]["exit_code"] == 5);
        seen.read_until(&mut viewer, is_ending).await;
        Self { id, viewer, seen, directory }
    }

    /// Lets the task end. Returns all frames.
    async fn end(self) -> Vec<Value> {
        std::fs::write(self.directory.path().join("go"), "").unwrap();
        watch_on(self.seen, self.viewer).await.frames
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_command_is_told_after_its_last_line_and_before_its_task_ends() {
    let stories = (1..=2).map(|seed| async move {
        let system = System::start_with(Settings { chaos: Some(seed), ..Settings::ephemeral() }).await;
        let ending = Ending::of_run(&system).await;
        let (id, seen) = (&ending.id, &ending.seen);
        let status = loop {
            let answer = system.admin.get(&format!("/executions/{id}/status")).await;
            if answer.status == 200 {
                break answer.json();
            }
        };
        let lines: HashSet<String> = seen.lines().into_iter().map(|(_, line)| line).collect();
        assert!((1..=20).all(|line| lines.contains(&format!("line {line}"))), "seed {seed}: {lines:?}");
        assert!(["RUNNING", "STARTING"].contains(&status["status"].as_str().unwrap()), "seed {seed}: {status}");
        assert_eq!((&status["ending"]["exit_code"], &status["exit_code"]), (&json!(5), &Value::Null), "seed {seed}");
        assert_eq!(status["reason"], "the command ended with exit code 5");
        let frames = ending.end().await;
        let ended = json!({"type": "status", "status": "FAILED", "exit_code": 5});
        assert!(frames.contains(&ended), "seed {seed}: {frames:#?}");
        system.shim.shut_down().await;
    });
    futures_util::future::join_all(stories).await;
}

/// The log has so many batches that it is compared by several calls. As when other executions share the quota, one call in five is answered,
/// and each is tried three times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_command_is_told_although_cloudwatch_refuses_most_calls() {
    let system = System::start().await;
    let calls = AtomicUsize::new(0);
    system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
        let is_refused =
            call.operation == "logs:FilterLogEvents" && !calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(5);
        is_refused.then_some(Fault::Throttled)
    })));
    let ending = Ending::of_run(&system).await;
    assert_eq!(ending.end().await.last().unwrap()["type"], "disconnect");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_reaches_a_viewer_while_the_command_goes_on() {
    let system = System::start().await;
    let started = system.admin.run("echo now; sleep 60").await;
    let mut viewer = connect_at_last(&url(&started)).await;
    let arrived = async {
        while let Some(Ok(frame)) = viewer.next().await {
            let event: Value = serde_json::from_str(frame.to_text().unwrap()).unwrap();
            if event["message"] == "now" {
                return event;
            }
        }
        panic!("the viewer was closed");
    };
    let event = tokio::time::timeout(TIMEOUT, arrived).await.unwrap();
    let keys: HashSet<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, HashSet::from(["event_id", "timestamp", "message"]));
    assert_eq!(system.admin.get(&format!("/executions/{}/status", id(&started))).await.json()["status"], "RUNNING");
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_comes_back_goes_on_after_the_last_line_it_has() {
    let system = System::start().await;
    let started = system.admin.run("seq 1 2000; sleep 0.2; seq 2001 3000").await;
    system.admin.wait_for(&id(&started), "SUCCEEDED").await;
    let all = watch(connect_at_last(&url(&started)).await).await.lines();
    for at in [0, 1, 500, 2500, all.len() - 2, all.len() - 1] {
        let again = format!("{}&last_event_id={}&batch=true", url(&started), all[at].0);
        let seen = watch(connect_at_last(&again).await).await;
        assert_eq!(seen.lines(), all[at + 1..], "after {at}");
    }
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_lines_arrive_each_once_and_frames_stay_small() {
    let system = System::start().await;
    let started = system.admin.run("seq 20000").await;
    let viewers: Vec<_> = futures_util::future::join_all(
        (0..3).map(|_| async { connect_at_last(&format!("{}&batch=true", url(&started))).await }),
    )
    .await;
    let expected: Vec<String> = (1..=20_000).map(|n| n.to_string()).collect();
    for seen in futures_util::future::join_all(viewers.into_iter().map(watch)).await {
        let numbers: Vec<String> = seen.log().into_iter().filter(|line| !line.starts_with('#')).collect();
        assert!(numbers == expected);
    }
    let stored: Vec<String> =
        system.admin.log(&id(&started)).await.into_iter().filter(|line| !line.starts_with('#')).collect();
    assert!(stored == expected);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_output_is_shown_as_the_log_driver_would() {
    let system = System::start().await;
    let command = r#"printf 'a\0b\n\n\377\376\n\r10%%\r20%%\n\033[31mred\033[0m\n'; head -c 300000 /dev/zero | tr '\0' x; echo; printf 'no newline'"#;
    let started = system.admin.run(command).await;
    system.admin.wait_for(&id(&started), "SUCCEEDED").await;
    let log = system.admin.log(&id(&started)).await;
    let output: Vec<&String> = log.iter().filter(|line| !line.starts_with("###")).collect();
    assert_eq!(output[..4], ["a\0b", "\u{fffd}\u{fffd}", "\r10%\r20%", "\u{1b}[31mred\u{1b}[0m"]);
    let long: String = output[4..output.len() - 1].iter().map(|part| part.as_str()).collect();
    assert!(long == "x".repeat(300_000));
    assert_eq!(output[output.len() - 1], "no newline");
    let seen = watch(connect_at_last(&url(&started)).await).await;
    assert_complete(&seen, &log);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_watch_is_refused_at_the_handshake() {
    let system = System::start().await;
    let (one, other) = (system.admin.run("sleep 60").await, system.admin.run("sleep 60").await);
    let base = url(&one).split('?').next().unwrap().to_owned();
    let token = url(&one).split("token=").nth(1).unwrap().to_owned();
    for (query, status) in [
        (String::new(), 400),
        (format!("?execution_id={}", id(&one)), 400),
        (format!("?token={token}"), 400),
        (format!("?execution_id={}&token=wrong", id(&one)), 401),
        (format!("?execution_id={}&token={token}", id(&other)), 403),
        (format!("?execution_id={}&token={token}&last_event_id={}", id(&one), "9".repeat(500)), 400),
    ] {
        assert_eq!(
            connect(&format!("{base}{query}")).await.err().map(|status| status.as_u16()),
            Some(status),
            "{query}"
        );
    }
    let foreign = [("origin", "http://evil.example.com")];
    assert_eq!(connect_with(&url(&one), &foreign).await.err().unwrap(), 403);
    assert_eq!(connect_with(&url(&one), &[("host", "evil.example.com")]).await.err().unwrap(), 403);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_lets_a_viewer_in_for_a_day_as_often_as_it_likes_and_no_longer() {
    let clock = MovedClock::default();
    let settings = Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
    let system = System::start_with(settings).await;
    let started = system.admin.run("echo hello").await;
    system.admin.wait_for(&id(&started), "SUCCEEDED").await;
    let log = system.admin.log(&id(&started)).await;
    for _ in ["at once", "nearly a day later"] {
        assert_complete(&watch(connect_at_last(&url(&started)).await).await, &log);
        clock.move_on(Duration::from_secs(12 * 3600 - 10));
    }
    clock.move_on(Duration::from_secs(20));
    assert_eq!(connect(&url(&started)).await.err().unwrap(), 401);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_does_not_read_holds_no_other_up() {
    let system = System::start().await;
    // More than all buffers between the two ends hold.
    let started =
        system.admin.run("sleep 0.5; for i in $(seq 250); do head -c 100000 /dev/zero | tr '\\0' x; echo; done").await;
    let asleep = connect_at_last(&url(&started)).await;
    let awake = tokio::spawn(watch(connect_at_last(&format!("{}&batch=true", url(&started))).await));
    // It would take minutes if each batch waited for this viewer.
    let seen = awake.await.unwrap();
    let long = seen.messages().iter().filter(|line| line.starts_with('x')).map(String::len).sum::<usize>();
    assert_eq!((long, seen.close_code), (25_000_000, Some(1000)));
    drop(asleep);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_vanishes_holds_no_other_up() {
    let system = System::start().await;
    let started = system.admin.run("sleep 0.3; seq 100; sleep 0.3; seq 101 200").await;
    drop(connect_at_last(&url(&started)).await);
    let seen = watch(connect_at_last(&url(&started)).await).await;
    assert_complete(&seen, &system.admin.log(&id(&started)).await);
    system.shim.shut_down().await;
}

/// Close codes are those of RFC 6455, section 7.4.1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_viewer_sends_wrongly_is_told_by_the_close_code() {
    let system = System::start().await;
    let started = system.admin.run("sleep 60").await;
    // The key that masks what a client sends is zero, so that its bytes stay as they are.
    let masked = |head: &[u8], body: &[u8]| [head, &[0; 4], body].concat();
    let too_long = masked(&[&[0x81, 0xff][..], &(200_u64 * 1024).to_be_bytes()].concat(), &vec![b'x'; 200 * 1024]);
    let more_after = [masked(&[0x83, 0x81], b"x"), vec![0; 500 * 1024]].concat();
    for (sent, code) in [
        (masked(&[0x81, 0x82], b"\xff\xfe"), 1007),
        (masked(&[0x83, 0x81], b"x"), 1002),
        (more_after, 1002),
        (too_long, 1009),
        (masked(&[0x88, 0x82], &1000_u16.to_be_bytes()), 1000),
    ] {
        let mut viewer = connect_at_last(&url(&started)).await;
        let tokio_tungstenite::MaybeTlsStream::Plain(stream) = viewer.get_mut() else { panic!("it is plain") };
        stream.write_all(&sent).await.unwrap();
        // A connection that is reset while bytes are unread may lose the close frame.
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        assert!(received.ends_with(&[&[0x88, 2][..], &u16::to_be_bytes(code)].concat()), "{code}: {received:?}");
    }
    system.admin.delete(&format!("/executions/{}", id(&started))).await;
    system.shim.shut_down().await;
}
