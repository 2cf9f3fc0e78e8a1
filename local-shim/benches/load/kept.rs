//! Measures what executions of earlier days cost: the start, calls, memory, and the disk.

use std::{
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use rusqlite::Connection;
use serde_json::json;

use crate::Running;

/// Executions that are run. The others are copies of them under other ids, because it takes a quarter of an hour to run so many.
const RUN: usize = 250;
/// Executions that run at the same time.
const AT_ONCE: usize = 8;
/// Calls of each kind, of which the median is printed.
const CALLS: usize = 300;
/// Starts of the program, of which the median is printed.
const STARTS: usize = 5;
/// The time of the comparison of all tables with AWS that each start begins, which is no part of a call.
const FIRST_COMPARISON: Duration = Duration::from_secs(15);
/// The time after which the threads and buffers of the last calls are given back.
const REST: Duration = Duration::from_secs(5);
/// The goals: milliseconds of a start, MB of memory, and bytes of disk a run without the audit.
const GOALS: (u64, u64, u64) = (100, 100, 8000);

/// Copies each execution of [`COPIED`] once, with all that is kept of it, under an id with another prefix.
const COPY: &str = r#"
    UPDATE copied SET new = $prefix || substr(id, 9);
    INSERT INTO "runvoy-local-executions" SELECT 'S:' || new, sk, replace(item_json, id, new), item_size, cached_at, hash_prefix
        FROM copied JOIN "runvoy-local-executions" ON pk = 'S:' || id;
    INSERT INTO "runvoy-local-log-heads" SELECT 'S:' || new, sk, replace(item_json, id, new), item_size, cached_at, hash_prefix
        FROM copied JOIN "runvoy-local-log-heads" ON pk = 'S:' || id;
    INSERT INTO "runvoy-local-execution-logs" SELECT 'S:' || new, sk, replace(item_json, id, new), item_size, cached_at, hash_prefix
        FROM copied JOIN "runvoy-local-execution-logs" ON pk = 'S:' || id;
    INSERT INTO "runvoy-local-websocket-tokens"
        SELECT 'S:' || $prefix || substr(token, 9), '', replace(replace(item_json, id, new), token, $prefix || substr(token, 9)), item_size, cached_at, hash_prefix
        FROM copied JOIN "runvoy-local-websocket-tokens" ON pk = 'S:' || token;
    INSERT INTO "runvoy-local-audit" SELECT pk, sk || $prefix, replace(replace(item_json, id, new), substr(sk, 3), substr(sk, 3) || $prefix), item_size, cached_at, hash_prefix
        FROM copied JOIN "runvoy-local-audit" ON pk = audit_pk AND sk = audit_sk;
    INSERT INTO ended.streams (log_group, name, length, newest, is_whole) SELECT log_group, replace(name, copied.id, new), length, newest, 1
        FROM copied JOIN ended.streams ON streams.id = stream;
    INSERT INTO ended.parts SELECT copy.id, parts.offset, parts.lines FROM copied JOIN ended.streams AS one ON one.id = copied.stream
        JOIN ended.streams AS copy ON copy.log_group = one.log_group AND copy.name = replace(one.name, copied.id, new)
        JOIN ended.parts ON parts.stream = copied.stream;"#;

/// Lists the executions that are copied, and for each the keys of its token, its entry in the audit and its log stream.
const COPIED: &str = r#"
    CREATE TEMP TABLE copied AS SELECT substr(execution.pk, 3) AS id, '' AS new, substr(token.pk, 3) AS token,
        audit.pk AS audit_pk, audit.sk AS audit_sk, streams.id AS stream
        FROM "runvoy-local-executions" AS execution
        JOIN "runvoy-local-websocket-tokens" AS token ON json_extract(token.item_json, '$.execution_id.S') = substr(execution.pk, 3)
        JOIN "runvoy-local-audit" AS audit ON json_extract(audit.item_json, '$.resource.S') = 'execution:' || substr(execution.pk, 3)
            AND json_extract(audit.item_json, '$.action.S') = 'executions:run'
        JOIN ended.streams ON streams.name = 'task/runner/' || substr(execution.pk, 3)
        GROUP BY execution.pk;"#;

/// The median duration of each kind of call.
struct Calls([(&'static str, Duration); 4]);

pub async fn measure(program: &Path, wanted: usize) {
    let directory = Rc::new(tempfile::tempdir().unwrap());
    let system = Running::start_in(program, directory.clone());
    let run = || async { system.caller.run_to_end(json!({"command": "seq 15"})).await.0 };
    let ids: Vec<String> = stream::iter(0..RUN).map(|_| run()).buffer_unordered(AT_ONCE).collect().await;
    for id in &ids {
        // The first reader of a log completes it.
        system.caller.get(&format!("/executions/{id}/logs")).await;
    }
    let first = calls(&system, &ids).await;
    let data = directory.path().join(".runvoy-local");
    let tasks = data.join("logs/runvoy_runvoy-local_tasks");
    while std::fs::read_dir(&tasks).unwrap().count() > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(system);
    let kept = multiply(&data, wanted);
    let mut starts: Vec<u64> =
        (0..STARTS).map(|_| Running::start_in(program, directory.clone()).started_after).collect();
    starts.sort_unstable();
    let start = starts[STARTS / 2];
    let system = Running::start_in(program, directory.clone());
    tokio::time::sleep(FIRST_COMPARISON).await;
    let later = calls(&system, &ids).await;
    tokio::time::sleep(REST).await;
    let memory = (memory(system.process.id(), "VmRSS:"), memory(system.process.id(), "VmHWM:"));
    drop(system);
    let disk = disk(&data) / kept as u64;
    println!("{kept} executions kept");
    println!("    start {start} ms ({}), memory {} MB ({}), at most {} MB", GOALS.0, memory.0, GOALS.1, memory.1);
    println!("    disk of a run {disk} bytes without the audit ({})", GOALS.2);
    for ((call, first), (_, later)) in first.0.into_iter().zip(later.0) {
        let change = (later.as_secs_f64() / first.as_secs_f64() - 1.0) * 100.0;
        println!(
            "    {call:<12} {:.2} ms, on the first day {:.2} ms: {change:+.0} % (25)",
            millis(later),
            millis(first)
        );
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

async fn calls(system: &Running, ids: &[String]) -> Calls {
    let mut middles =
        [("status", Duration::ZERO), ("list", Duration::ZERO), ("logs", Duration::ZERO), ("run", Duration::ZERO)];
    for (call, middle) in &mut middles {
        let mut durations = Vec::new();
        for id in ids.iter().cycle().take(CALLS) {
            let began = Instant::now();
            let answer = match *call {
                "status" => system.caller.get(&format!("/executions/{id}/status")).await,
                "list" => system.caller.get("/executions?limit=20").await,
                "logs" => system.caller.get(&format!("/executions/{id}/logs")).await,
                _ => system.caller.post("/run", &json!({"command": "true"})).await,
            };
            durations.push(began.elapsed());
            assert!(answer.status.is_success(), "{call}: {}", answer.text);
            if *call == "run" {
                // The run still takes processor time after the answer, which the next call must not be measured with.
                system.caller.wait_for(answer.json()["execution_id"].as_str().unwrap(), "SUCCEEDED").await;
            }
        }
        durations.sort_unstable();
        *middle = durations[durations.len() / 2];
    }
    Calls(middles)
}

/// Copies the executions of a system that is stopped until there are as many as wanted. Returns how many there are.
fn multiply(data: &Path, wanted: usize) -> usize {
    let mut database = Connection::open(data.join("dynamodb.sqlite")).unwrap();
    database.execute("ATTACH ?1 AS ended", [data.join("logs/ended.sqlite").to_str().unwrap()]).unwrap();
    database.execute_batch(COPIED).unwrap();
    let count = |database: &Connection, table: &str| -> usize {
        database.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    let (there, copied) = (count(&database, "\"runvoy-local-executions\""), count(&database, "copied"));
    assert!(copied >= RUN, "{copied} executions can be copied");
    for number in 0..wanted.saturating_sub(there).div_ceil(copied) {
        let copy = database.transaction().unwrap();
        copy.execute_batch(&COPY.replace("$prefix", &format!("'{number:08x}'"))).unwrap();
        copy.commit().unwrap();
    }
    count(&database, "\"runvoy-local-executions\"")
}

/// A process's memory, in MB: `VmRSS:` for what it has now, `VmHWM:` for the most that it has had.
fn memory(process: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()).unwrap();
    kilobytes.parse::<u64>().unwrap() / 1000
}

/// The bytes that tables and ended logs take on the disk, without the audit's.
fn disk(data: &Path) -> u64 {
    let of_tables = |file: &str| -> u64 {
        let database = Connection::open(data.join(file)).unwrap();
        let sql = "SELECT SUM(pgsize) FROM dbstat WHERE name NOT LIKE '%audit%'";
        database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
    };
    of_tables("dynamodb.sqlite") + of_tables("logs/ended.sqlite")
}
