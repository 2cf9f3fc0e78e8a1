//! Lines as programs really print them: very long, without a line end, not text, coloured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_async::time::SharedTimeSource;
use local_shim::{
    Settings,
    aws::faults::{Call, Fault},
};
use serde_json::json;

use crate::{
    client::{MovedClock, Seen, System, connect_at_last, id, watch, watch_on},
    common::events::task_stopped,
};

/// What CloudWatch takes for one event, less what it counts for the event itself ("PutLogEvents"). The log driver splits lines
/// there.
const DRIVER_SPLITS_AT: usize = 262_144 - 26;

/// Runs a command with a viewer of each kind, checks that all three have the same lines, and returns them without the runner's
/// own.
async fn lines_of(system: &System, command: &str) -> Vec<String> {
    let started = system.admin.run(command).await;
    let url = started["websocket_url"].as_str().unwrap();
    let one_by_one = tokio::spawn(watch(connect_at_last(url).await));
    let batched = tokio::spawn(watch(connect_at_last(&format!("{url}&batch=true")).await));
    let log = system.admin.wait_for(&id(&started), "SUCCEEDED").await;
    assert_eq!(log["exit_code"], 0);
    let log = system.admin.log(&id(&started)).await;
    for viewer in [one_by_one, batched] {
        // `watch` has checked that no frame is larger than API Gateway allows.
        assert_eq!(viewer.await.unwrap().log(), log);
    }
    log.into_iter().filter(|line| !line.starts_with("### runvoy")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_ten_megabytes_arrives_in_pieces_that_fit() {
    let system = System::start().await;
    let size = 10_000_000;
    let lines = lines_of(&system, &format!("head -c {size} /dev/zero | tr '\\0' x; echo; echo after")).await;
    let (last, pieces) = lines.split_last().unwrap();
    assert_eq!(last, "after");
    assert_eq!(pieces.concat(), "x".repeat(size), "nothing is lost, nothing comes twice");
    assert!(pieces.iter().all(|piece| piece.len() <= DRIVER_SPLITS_AT));
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_text_is_shown_as_far_as_it_is() {
    let system = System::start().await;
    let command = r#"printf 'a\000b\n'; printf 'bad \377\376 bytes\n'; printf '\033[31mred\033[0m\n'
        printf '10%%\r50%%\r100%%\n'; printf 'tab\there "quoted" \\ back\n'; printf 'caf\303\251 \360\237\246\200\n'
        printf '\n\n'; printf 'no end'"#;
    let lines = lines_of(&system, command).await;
    let expected = [
        "a\0b",
        "bad \u{fffd}\u{fffd} bytes",
        "\u{1b}[31mred\u{1b}[0m",
        "10%\r50%\r100%",
        "tab\there \"quoted\" \\ back",
        "café 🦀",
        "no end",
    ];
    // The runner's own first lines show the command, which has several lines here.
    let printed = &lines[lines.len() - expected.len()..];
    assert_eq!(printed, expected);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_nothing_but_quotes_fits_its_frames() {
    let system = System::start().await;
    // As JSON, each of these takes two characters, and a control character takes six.
    let lines =
        lines_of(&system, r#"head -c 300000 /dev/zero | tr '\0' '"'; head -c 60000 /dev/zero | tr '\0' '\001'"#).await;
    assert_eq!(lines.concat().len(), 360_000);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_larger_than_an_answer_is_read_in_pages() {
    let system = System::start().await;
    let body = json!({"command": "for i in $(seq 120); do head -c 100000 /dev/zero | tr '\\0' y; echo; done"});
    let (id, _) = system.admin.run_to_end(body).await;
    let first = system.admin.get(&format!("/executions/{id}/logs")).await;
    assert!(first.text.len() < 6 * 1024 * 1024 && first.headers.contains_key("link"));
    let log = system.admin.log(&id).await;
    assert_eq!(log.iter().filter(|line| line.starts_with('y')).map(String::len).sum::<usize>(), 12_000_000);
    system.shim.shut_down().await;
}

/// A call of FilterLogEvents takes 3 seconds here, and a reader waits for 5 seconds. So no reader compares more than two of the three pages
/// that these logs have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_too_long_to_be_compared_at_once_says_so_until_readers_or_reconcile_have_gone_on() {
    for by_reconcile in [false, true] {
        let (clock, calls) = (MovedClock::default(), Arc::new(AtomicUsize::new(0)));
        let settings = Settings { clock: Some(SharedTimeSource::new(clock.clone())), ..Settings::ephemeral() };
        let system = System::start_with(settings).await;
        let (id, _) = system.admin.run_to_end(json!({"command": "seq 25000"})).await;
        system.shim.events_handled().await;
        // The first batch of lines was lost.
        let number = AttributeValue::N("1".to_owned());
        let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
        let delete = dynamodb.delete_item().table_name("runvoy-local-execution-logs");
        let delete = delete.key("execution_id", AttributeValue::S(id.clone())).key("sequence", number);
        delete.send().await.unwrap();
        // On a slow machine, the event of the task's end has compared the log.
        let head = dynamodb.update_item().table_name("runvoy-local-log-heads");
        let head = head.key("execution_id", AttributeValue::S(id.clone())).update_expression("SET complete = :false");
        head.expression_attribute_values(":false", AttributeValue::Bool(false)).send().await.unwrap();
        let (counted, moved) = (calls.clone(), clock.clone());
        system.shim.plan_faults(Some(Arc::new(move |call: Call<'_>| {
            if call.operation == "logs:FilterLogEvents" {
                counted.fetch_add(1, Ordering::Relaxed);
                moved.move_on(Duration::from_secs(3));
            }
            None
        })));
        clock.move_on(Duration::from_mins(15));
        let path = format!("/executions/{id}/logs");
        let first = system.admin.get(&path).await.json();
        assert_eq!(first["complete"], false);
        let last = first["events"].as_array().unwrap().last().unwrap()["message"].as_str().unwrap();
        assert!(last.contains("lines may be missing"), "{last}");
        if by_reconcile {
            let report = system.admin.post("/health/reconcile", &json!({})).await.json();
            let issues = report["report"]["issues"].to_string();
            assert!(issues.contains("had not been compared to its end"), "{report:#}");
            let before = calls.load(Ordering::Relaxed);
            assert_eq!(system.admin.get(&path).await.json()["complete"], true);
            assert_eq!(calls.load(Ordering::Relaxed), before, "nothing is left for the reader");
        } else {
            let mut readers = 1;
            while system.admin.get(&path).await.json()["complete"] == false {
                readers += 1;
                assert!(readers < 10, "each begins again");
            }
        }
        system.shim.plan_faults(None);
        let log: Vec<String> = system.admin.log(&id).await.into_iter().filter(|line| !line.starts_with('#')).collect();
        assert!(log == (1..=25_000).map(|number: u32| number.to_string()).collect::<Vec<_>>(), "{} lines", log.len());
        system.shim.shut_down().await;
    }
}

/// The event says that the task ended months before it printed its lines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_that_tells_of_the_end_is_the_last_one_although_the_clock_of_the_end_is_behind() {
    let system = System::start().await;
    let started = system.admin.run("seq 3; sleep 60").await;
    let id = id(&started);
    let mut viewer = connect_at_last(started["websocket_url"].as_str().unwrap()).await;
    let mut seen = Seen::default();
    seen.read_until(&mut viewer, |seen| seen.messages().contains(&"3".to_owned())).await;
    let processed = system.admin.process(task_stopped(&id, "TaskFailedToStart", None).to_string()).await;
    assert_eq!(processed.status, 200, "{}", processed.text);
    let live = watch_on(seen, viewer).await.messages();
    assert!(live.last().unwrap().contains("the task ended without the command's end"), "{live:?}");
    assert_eq!(live, system.admin.log(&id).await);
    system.shim.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_reaches_the_size_limit_of_its_table_ends_there_and_its_viewers_are_sent_off() {
    let system = System::start().await;
    let marker = tempfile::NamedTempFile::new().unwrap();
    let path = marker.path().to_str().unwrap();
    let started =
        system.admin.run(&format!("echo stored; while [ -e {path} ]; do sleep 0.1; done; echo too much")).await;
    let mut viewer = connect_at_last(started["websocket_url"].as_str().unwrap()).await;
    let mut seen = Seen::default();
    seen.read_until(&mut viewer, |seen| seen.messages().contains(&"stored".to_owned())).await;
    system.shim.plan_faults(Some(Arc::new(|_: Call<'_>| Some(Fault::Full))));
    marker.close().unwrap();
    let seen = watch_on(seen, viewer).await;
    system.shim.plan_faults(None);
    assert_eq!(seen.frames.last().unwrap()["type"], "disconnect");
    assert!(!seen.messages().contains(&"too much".to_owned()), "{:?}", seen.messages());
    let id = id(&started);
    system.admin.wait_for(&id, "SUCCEEDED").await;
    assert!(system.admin.log(&id).await.contains(&"stored".to_owned()));
    system.shim.shut_down().await;
}

/// An earlier version of the program kept the head of a log on the execution's record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_an_earlier_version_began_goes_on_and_has_each_line_once() {
    let system = System::start().await;
    let marker = tempfile::NamedTempFile::new().unwrap();
    let path = marker.path().to_str().unwrap();
    let started = system.admin.run(&format!("echo before; while [ -e {path} ]; do sleep 0.05; done; echo after")).await;
    let id = id(&started);
    let mut viewer = connect_at_last(started["websocket_url"].as_str().unwrap()).await;
    let mut seen = Seen::default();
    seen.read_until(&mut viewer, |seen| seen.messages().contains(&"before".to_owned())).await;
    system.shim.events_handled().await;
    let dynamodb = aws_sdk_dynamodb::Client::new(system.shim.sdk());
    let key = || aws_sdk_dynamodb::types::AttributeValue::S(id.clone());
    let delete = dynamodb.delete_item().table_name("runvoy-local-log-heads").key("execution_id", key());
    let head = delete.return_values("ALL_OLD".into()).send().await.unwrap().attributes.unwrap();
    dynamodb
        .update_item()
        .table_name("runvoy-local-executions")
        .key("execution_id", key())
        .update_expression(
            "SET log_sequence = :sequence, log_last_event_id = :last, log_complete = :complete, viewers = :one",
        )
        .expression_attribute_values(":sequence", head["sequence"].clone())
        .expression_attribute_values(":last", head["last_event_id"].clone())
        .expression_attribute_values(":complete", head["complete"].clone())
        .expression_attribute_values(":one", aws_sdk_dynamodb::types::AttributeValue::N("1".to_owned()))
        .send()
        .await
        .unwrap();
    marker.close().unwrap();
    let seen = watch_on(seen, viewer).await;
    system.admin.wait_for(&id, "SUCCEEDED").await;
    let log = system.admin.log(&id).await;
    assert_eq!(seen.log(), log);
    for line in ["before", "after"] {
        assert_eq!(log.iter().filter(|one| *one == line).count(), 1, "{log:?}");
    }
    system.shim.shut_down().await;
}
