//! Tests streams as files, in the database of those that have ended, and between the two.

use std::path::Path;

use super::{positions::Positions, *};

/// The names of the streams of a group that have a file.
fn files(group: &LogGroup) -> Vec<String> {
    group.streams_to_move().upgrade().unwrap().files().unwrap()
}

#[test]
fn a_clock_that_is_set_back_by_an_hour_changes_neither_the_order_of_lines_nor_of_their_ids() {
    const HOUR: i64 = 3_600_000;
    let directory = tempfile::tempdir().unwrap();
    let name = "task/runner/1";
    let open = || {
        let logs = CloudWatchLogs::open(Some(directory.path().to_owned()), ["group"]).unwrap();
        logs.group("group").unwrap().create_stream(name).unwrap();
        logs
    };
    let line = |at: i64, text: &str| (at, text.to_owned());
    open().group("group").unwrap().write(name, &[line(5 * HOUR, "1"), line(4 * HOUR, "2")]).unwrap();
    // The program is started again after the clock was set back once more.
    let logs = open();
    logs.group("group").unwrap().write(name, &[line(3 * HOUR, "3"), line(6 * HOUR, "4")]).unwrap();
    let followed = logs.group("group").unwrap().read(name, 0, 10_000).unwrap().unwrap();
    let followed: Vec<Event> = events_of(&followed).filter_map(|(event, _)| event).collect();
    let body = br#"{"logGroupName": "group"}"#;
    let shown = logs.call("FilterLogEvents", body, Shown::ALL).unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
    let shown: Vec<&str> =
        shown["events"].as_array().unwrap().iter().filter_map(|event| event["message"].as_str()).collect();
    assert_eq!(shown, ["1", "2", "3", "4"]);
    assert!(followed.iter().map(|event| event.message.as_str()).eq(shown));
    assert!(followed.is_sorted_by_key(|event| event.timestamp));
    assert!(followed.is_sorted_by(|one, next| one.event_id < next.event_id));
}

/// The lines of a stream of the group "group", as FilterLogEvents shows them.
fn shown(logs: &CloudWatchLogs, name: &str) -> Vec<String> {
    let body = serde_json::json!({"logGroupName": "group", "logStreamNames": [name]}).to_string();
    let answer = logs.call("FilterLogEvents", body.as_bytes(), Shown::ALL).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let events = answer["events"].as_array().unwrap();
    events.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

fn open(directory: &Path) -> CloudWatchLogs {
    CloudWatchLogs::open(Some(directory.to_owned()), ["group"]).unwrap()
}

/// Writes a stream of these lines, and ends it.
fn end(logs: &CloudWatchLogs, name: &str, lines: &[String]) {
    let group = logs.group("group").unwrap();
    group.create_stream(name).unwrap();
    let now = jiff::Timestamp::now().as_millisecond();
    group.write(name, &lines.iter().map(|line| (now, line.clone())).collect::<Vec<_>>()).unwrap();
    group.close_stream(name);
}

fn wait_until_moved(logs: &CloudWatchLogs) {
    while !files(logs.group("group").unwrap()).is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line {number}")).collect()
}

#[test]
fn many_streams_that_have_ended_are_no_many_files_and_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(directory.path());
    // Those of an earlier run of the program are moved as well.
    (0..50).for_each(|number| end(&logs, &format!("task/{number:03}"), &numbered(number)));
    assert_eq!(files(logs.group("group").unwrap()).len(), 50);
    let logs = open(directory.path());
    logs.move_ended().unwrap();
    (50..100).for_each(|number| end(&logs, &format!("task/{number:03}"), &numbered(number)));
    wait_until_moved(&logs);
    for number in 0..100 {
        assert_eq!(shown(&logs, &format!("task/{number:03}")), numbered(number));
    }
    assert_eq!(logs.group("group").unwrap().stream_names().unwrap().len(), 100);
    logs.stop_moving();
    let files = std::fs::read_dir(directory.path()).unwrap().flatten();
    for file in files.filter(|file| file.file_type().unwrap().is_file()) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
    assert!(
        logs.call("FilterLogEvents", br#"{"logGroupName": "group", "logStreamNames": ["task/100"]}"#, Shown::ALL)
            .is_err()
    );
}

#[test]
fn an_offset_means_the_same_before_and_after_a_stream_is_moved() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(directory.path());
    let group = logs.group("group").unwrap();
    // Several parts, of which one is a line that is longer than a part.
    let mut lines = numbered(6000);
    lines[3000] = "x".repeat(300_000);
    end(&logs, "task", &lines);
    let pages = |at_most: usize| {
        let (mut pages, mut offset) = (Vec::new(), 0);
        loop {
            let page = group.read("task", offset, at_most).unwrap().unwrap();
            if page.is_empty() {
                return pages;
            }
            offset += page.len() as u64;
            pages.push(page);
        }
    };
    let before = [pages(1), pages(100_000), pages(10_000_000)];
    let length = group.length("task").unwrap();
    logs.move_ended().unwrap();
    wait_until_moved(&logs);
    for (before, at_most) in before.iter().zip([1, 100_000, 10_000_000]) {
        assert!(before.concat() == pages(at_most).concat(), "{at_most}");
    }
    let single = |page: &Vec<u8>| memchr::memchr(b'\n', page) == Some(page.len() - 1);
    assert!(pages(1).iter().all(single), "at least one line, and no part of one");
    assert_eq!(group.length("task").unwrap(), length);
    logs.stop_moving();
}

#[test]
fn a_kill_while_a_stream_is_moved_loses_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let lines = numbered(20_000);
    let file = directory.path().join("group/task.jsonl");
    let logs = open(directory.path());
    end(&logs, "task", &lines);
    let (ended, _) = logs.ended.clone().unwrap();
    // Killed between two parts: some of the stream is in both places.
    let parts = std::cell::Cell::new(0);
    let between = || parts.replace(parts.get() + 1) < 2;
    assert!(!ended.keep("group", "task", &file, between).unwrap());
    assert_eq!((ended.length("group", "task").unwrap(), file.exists()), (None, true));
    assert_eq!(group_lines(&open(directory.path())), lines);
    // Killed before the file was deleted: all of it is in both places.
    let content = std::fs::read(&file).unwrap();
    assert!(ended.keep("group", "task", &file, || true).unwrap());
    assert_eq!(group_lines(&open(directory.path())), lines);
    std::fs::write(&file, &content[..content.len()]).unwrap();
    let logs = open(directory.path());
    assert_eq!(group_lines(&logs), lines);
    logs.move_ended().unwrap();
    wait_until_moved(&logs);
    assert_eq!(group_lines(&logs), lines);
    logs.stop_moving();
}

/// All lines of the group, page by page.
fn group_lines(logs: &CloudWatchLogs) -> Vec<String> {
    let (mut lines, mut token) = (Vec::new(), None::<String>);
    loop {
        let body = serde_json::json!({"logGroupName": "group", "nextToken": token}).to_string();
        let answer = logs.call("FilterLogEvents", body.as_bytes(), Shown::ALL).unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        lines.extend(
            answer["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap().to_owned()),
        );
        token = answer["nextToken"].as_str().map(str::to_owned);
        if token.is_none() {
            return lines;
        }
    }
}

#[test]
fn a_stream_that_grows_while_it_is_moved_stays_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(directory.path());
    end(&logs, "task", &numbered(3));
    let file = directory.path().join("group/task.jsonl");
    let content = std::fs::read(&file).unwrap();
    let (ended, _) = logs.ended.as_ref().unwrap();
    // The second time that it is looked at, it has been opened, written and closed.
    let grows = || {
        std::fs::write(&file, content.repeat(2)).unwrap();
        true
    };
    assert!(!ended.keep("group", "task", &file, grows).unwrap());
    assert_eq!(shown(&logs, "task"), [numbered(3), numbered(3)].concat());
}

#[test]
fn a_stream_that_is_opened_and_closed_between_two_parts_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(directory.path());
    let lines = numbered(20_000);
    end(&logs, "task", &lines);
    let file = directory.path().join("group/task.jsonl");
    let group = logs.group("group").unwrap();
    let (ended, _) = logs.ended.as_ref().unwrap();
    let is_opened = std::cell::Cell::new(false);
    std::thread::scope(|threads| {
        let opens_it = || {
            // It is opened when the store can be written next, which is after this part.
            if !is_opened.replace(true) {
                threads.spawn(|| end(&logs, "task", &[]));
            }
            true
        };
        // If the other thread was late, it is moved, and becomes a file again when it is opened.
        ended.keep("group", "task", &file, opens_it).unwrap();
    });
    assert_eq!(group_lines(&logs), lines);
    assert_eq!(ended.length("group", "task").unwrap(), None);
    assert_eq!(group.length("task").unwrap(), Some(file.metadata().unwrap().len()));
}

#[test]
fn a_stream_that_was_moved_can_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(directory.path());
    end(&logs, "task", &numbered(3));
    logs.move_ended().unwrap();
    wait_until_moved(&logs);
    logs.stop_moving();
    let logs = open(directory.path());
    logs.move_ended().unwrap();
    end(&logs, "task", &["after the start".to_owned()]);
    wait_until_moved(&logs);
    let mut all = numbered(3);
    all.push("after the start".to_owned());
    assert_eq!(shown(&logs, "task"), all);
    assert_eq!(group_lines(&logs), all, "it is there once");
    logs.stop_moving();
}

#[test]
fn a_stream_stays_a_file_until_its_lines_are_handled() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(directory.path());
    let group = logs.group("group").unwrap();
    let positions = Arc::new(Positions::default());
    group.subscribe(positions.clone(), &[]);
    logs.move_ended().unwrap();
    end(&logs, "unhandled", &numbered(1));
    group.create_stream("empty").unwrap();
    group.close_stream("empty");
    // The one that has no lines for the subscription is moved, although it came later.
    while files(group) != ["unhandled"] {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(logs.delete_older(Duration::ZERO).unwrap(), 1, "only what is handled is deleted by a retention");
    let length = group.length("unhandled").unwrap().unwrap();
    positions.taken("unhandled", 0, length);
    positions.handled("unhandled", 0);
    wait_until_moved(&logs);
    assert_eq!(shown(&logs, "unhandled"), numbered(1));
    logs.stop_moving();
}

#[test]
fn a_retention_deletes_old_streams_and_gives_their_room_back() {
    const DAY: Duration = Duration::from_hours(24);
    let directory = tempfile::tempdir().unwrap();
    let logs = open(directory.path());
    let group = logs.group("group").unwrap();
    let old = jiff::Timestamp::now().as_millisecond() - i64::try_from(DAY.as_millis()).unwrap() * 2;
    for number in 0..1200 {
        let name = format!("old/{number}");
        group.create_stream(&name).unwrap();
        let lines: Vec<_> = (0..10).map(|_| (old, uuid::Uuid::new_v4().to_string())).collect();
        group.write(&name, &lines).unwrap();
        group.close_stream(&name);
    }
    end(&logs, "new", &numbered(3));
    logs.move_ended().unwrap();
    wait_until_moved(&logs);
    assert_eq!(logs.delete_older(DAY * 3).unwrap(), 0);
    let size = || {
        // What is committed reaches the file with the checkpoint.
        let checkpoint = rusqlite::Connection::open(directory.path().join("ended.sqlite")).unwrap();
        checkpoint.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        std::fs::metadata(directory.path().join("ended.sqlite")).unwrap().len()
    };
    let before = size();
    assert_eq!(logs.delete_older(DAY).unwrap(), 1200);
    assert_eq!(group.stream_names().unwrap(), ["new"]);
    assert_eq!(shown(&logs, "new"), numbered(3));
    let after = size();
    assert!(after * 10 < before, "{before} → {after} bytes");
    logs.stop_moving();
}
