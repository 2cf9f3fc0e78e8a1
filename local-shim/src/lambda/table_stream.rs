//! Maps a DynamoDB stream to a function, as an event source mapping does: hands over the records, those of one key one after the other,
//! and repeats those that the function could not handle.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Function, event_bridge, function::request_id};
use crate::aws::dynamodb::{Follower, stream};

/// The pause before failed records are tried again. It grows with each try.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The shards of the stream of a new table with on-demand capacity: it begins with four partitions ("DynamoDB on-demand capacity mode"),
/// and each has a shard.
const SHARDS: usize = 4;

/// The settings of a mapping.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the table.
    table: String,
    batch_size: usize,
    retries: u32,
    /// Tells whether a batch is halved when the function fails for it as a whole.
    halves: bool,
    /// Batches that are handled at the same time, for all keys.
    lanes: usize,
    /// Patterns of which a record must match one. Without any, all records are sent.
    filters: Vec<Value>,
}

impl Settings {
    /// From the properties of a `DynamoDB` event in the template.
    pub fn from_template(properties: &Value) -> Self {
        // A parameter of the template is a text.
        let number = |name: &str| {
            let value = &properties[name];
            value.as_u64().or_else(|| value.as_str()?.parse().ok())
        };
        let filters = properties["FilterCriteria"]["Filters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|filter| serde_json::from_str(filter["Pattern"].as_str()?).ok())
            .collect();
        let arn = properties["Stream"].as_str().unwrap_or_default();
        let table = arn.split_once(":table/").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
        Self {
            table: table.to_owned(),
            batch_size: number("BatchSize").and_then(|size| usize::try_from(size).ok()).unwrap_or(100),
            retries: number("MaximumRetryAttempts").and_then(|count| u32::try_from(count).ok()).unwrap_or(10),
            halves: properties["BisectBatchOnFunctionError"] == true,
            lanes: SHARDS
                * number("ParallelizationFactor").and_then(|factor| factor.try_into().ok()).unwrap_or(1).max(1),
            filters,
        }
    }

    /// The name of the table whose stream it is.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Tells whether a record is sent to the function.
    pub fn wants(&self, record: &Value) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| event_bridge::matches(filter, record))
    }
}

/// Follows a stream for as long as the program runs. The records of one partition key are handled one after the other, in a lane that
/// several keys share ("Using AWS Lambda with Amazon DynamoDB", `ParallelizationFactor`).
pub(crate) async fn run(function: Function, mut stream: Follower, settings: Settings) {
    let progress = Arc::new(Progress::new(stream.position()));
    let lanes: Vec<_> = (0..settings.lanes)
        .map(|_| {
            let (lane, records) = mpsc::unbounded_channel();
            tokio::spawn(follow_lane(function.clone(), records, settings.clone(), progress.clone()));
            lane
        })
        .collect();
    loop {
        let records = match stream.read(settings.batch_size).await {
            Ok(records) => records,
            Err(error) => {
                tracing::error!(%error, "a table's stream cannot be read");
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
        };
        for record in records {
            let number = stream::number(&record);
            progress.begin(number);
            if settings.wants(&record) {
                let lane = stream.key_of(&record) as usize % lanes.len();
                // A lane ends with the program.
                let _ = lanes[lane].send(record);
            } else {
                progress.end(number);
            }
        }
    }
}

/// Hands over the records of one lane, as many at a time as have come.
async fn follow_lane(
    function: Function,
    mut lane: mpsc::UnboundedReceiver<Value>,
    settings: Settings,
    progress: Arc<Progress>,
) {
    let mut records = Vec::new();
    while lane.recv_many(&mut records, settings.batch_size).await > 0 {
        let numbers: Vec<i64> = records.iter().map(stream::number).collect();
        deliver(&function, std::mem::take(&mut records), &settings).await;
        numbers.into_iter().for_each(|number| progress.end(number));
    }
}

/// Notes which records of a stream are being handled. The stream need not be kept up to the record before the first of them.
struct Progress {
    position: Arc<AtomicI64>,
    under_way: Mutex<BTreeSet<i64>>,
    /// The last record that was read.
    read: AtomicI64,
}

impl Progress {
    fn new(position: Arc<AtomicI64>) -> Self {
        let read = AtomicI64::new(position.load(Ordering::Relaxed));
        Self { position, under_way: Mutex::default(), read }
    }

    fn begin(&self, number: i64) {
        self.lock().insert(number);
        self.read.store(number, Ordering::Relaxed);
    }

    fn end(&self, number: i64) {
        let mut under_way = self.lock();
        under_way.remove(&number);
        let handled = under_way.first().map_or_else(|| self.read.load(Ordering::Relaxed), |first| first - 1);
        self.position.store(handled, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Delivers records until each is handled or given up. When the function reports records that failed, those from the first of them on are
/// delivered again ("Reporting batch item failures"). When the function itself fails, each half of the records is delivered alone, which
/// does not count as a retry, so that one record that can never be handled takes no other with it ("Using AWS Lambda with Amazon
/// DynamoDB", `BisectBatchOnFunctionError`).
async fn deliver(function: &Function, records: Vec<Value>, settings: &Settings) {
    // The last element is delivered first.
    let mut waiting = vec![(records, 0)];
    while let Some((mut records, attempt)) = waiting.pop() {
        let payload = json!({"Records": records}).to_string().into_bytes();
        match function.deliver(&request_id(), payload, attempt == settings.retries).await {
            Ok(answer) => {
                let failed = failures(&answer);
                let is_failed = |record: &Value| failed.iter().any(|one| record["dynamodb"]["SequenceNumber"] == **one);
                match records.iter().position(is_failed) {
                    Some(first) => drop(records.drain(..first)),
                    None => continue,
                }
            }
            Err(error) if settings.halves && records.len() > 1 => {
                tracing::warn!(%error, records = records.len(), "records of a stream failed, and are halved");
                let second = records.split_off(records.len() / 2);
                waiting.extend([(second, attempt), (records, attempt)]);
                continue;
            }
            Err(error) => tracing::warn!(%error, "records of a stream failed"),
        }
        if attempt == settings.retries {
            tracing::error!(records = records.len(), "records of a stream were given up");
            continue;
        }
        tokio::time::sleep(RETRY_AFTER * (attempt + 1)).await;
        waiting.push((records, attempt + 1));
    }
}

fn failures(answer: &[u8]) -> Vec<String> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let failures = answer["batchItemFailures"].as_array().cloned().unwrap_or_default();
    failures.iter().filter_map(|failure| failure["itemIdentifier"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        aws::dynamodb::DynamoDb,
        lambda::FunctionError,
        stack::{FunctionSettings, Stack},
    };

    const TABLE: &str = "runvoy-local-websocket-connections";
    /// The place that says that the function fails for the batch as a whole.
    const FUNCTION_FAILS: usize = usize::MAX;

    /// Follows the table's stream with a function that gets the keys of each batch and returns the places in it that failed.
    fn follow(
        dynamodb: &DynamoDb,
        handle: impl Fn(Vec<(String, u32)>) -> futures_util::future::BoxFuture<'static, Vec<usize>> + Send + Sync + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let handle = Arc::new(handle);
        let function = Function::new(
            "test",
            &FunctionSettings { timeout: Duration::from_mins(1), ..FunctionSettings::default() },
            None,
            None,
            Arc::new(move |event: lambda_runtime::LambdaEvent<Vec<u8>>| {
                let batch: Value = serde_json::from_slice(&event.payload).unwrap();
                let records = batch["Records"].as_array().unwrap().clone();
                let key = |record: &Value| {
                    let keys = &record["dynamodb"]["Keys"];
                    let number = keys["connection_id"]["S"].as_str().unwrap().parse().unwrap();
                    (keys["execution_id"]["S"].as_str().unwrap().to_owned(), number)
                };
                let failed = handle(records.iter().map(key).collect());
                async move {
                    let failure = |at: usize| json!({"itemIdentifier": records[at]["dynamodb"]["SequenceNumber"]});
                    let failed = failed.await;
                    if failed == [FUNCTION_FAILS] {
                        let error_type = "T".to_owned();
                        return Err(FunctionError { error_type, message: "planted".to_owned() });
                    }
                    let failures: Vec<Value> = failed.into_iter().map(failure).collect();
                    Ok(json!({"batchItemFailures": failures}).to_string().into_bytes())
                }
                .boxed()
            }),
        );
        let properties = json!({
            "BatchSize": 3, "ParallelizationFactor": "2", "BisectBatchOnFunctionError": true, "MaximumRetryAttempts": 1,
        });
        let stream = dynamodb.follow_from_oldest(TABLE).unwrap();
        tokio::spawn(run(function, stream, Settings::from_template(&properties)))
    }

    fn put(dynamodb: &DynamoDb, execution: &str, number: u32) {
        let item = json!({"execution_id": {"S": execution}, "connection_id": {"S": number.to_string()}});
        let answer = dynamodb.call("PutItem", json!({"TableName": TABLE, "Item": item}).to_string().as_bytes());
        assert_eq!(answer.status, 200);
    }

    #[tokio::test]
    async fn records_of_a_key_are_handled_in_order_and_again_from_the_first_that_failed_while_others_go_on() {
        let stack = Stack::bundled(&Default::default()).unwrap();
        let dynamodb = DynamoDb::open(None, &stack, false).unwrap();
        for number in 0..6 {
            (0..20).for_each(|execution| put(&dynamodb, &execution.to_string(), number));
        }
        let handled: Arc<Mutex<Vec<(String, u32)>>> = Arc::default();
        let (seen, has_failed) = (handled.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let following = follow(&dynamodb, move |batch| {
            let (seen, has_failed) = (seen.clone(), has_failed.clone());
            async move {
                let at = batch.iter().position(|(execution, number)| execution == "0" && *number == 2);
                if let Some(at) = at.filter(|_| !has_failed.swap(true, Ordering::Relaxed)) {
                    // Keys in other lanes do not wait for it.
                    while !seen.lock().unwrap().iter().any(|(_, number)| *number == 5) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    seen.lock().unwrap().extend(batch.clone());
                    return vec![at];
                }
                seen.lock().unwrap().extend(batch);
                Vec::new()
            }
            .boxed()
        });
        let of = |handled: &[(String, u32)], execution: u32| -> Vec<u32> {
            handled.iter().filter(|(one, _)| *one == execution.to_string()).map(|(_, number)| *number).collect()
        };
        while !(0..20).all(|execution| of(&handled.lock().unwrap(), execution).contains(&5)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        following.abort();
        let handled = handled.lock().unwrap().clone();
        let failed = of(&handled, 0);
        assert_eq!(failed.iter().filter(|number| **number == 2).count(), 2, "{failed:?}");
        assert_eq!(failed.iter().filter(|number| **number < 2).count(), 2, "those before are not repeated: {failed:?}");
        for execution in 0..20 {
            let mut order = of(&handled, execution);
            // A record of the failed batch after the one that failed comes again with it.
            if let Some(again) = order.iter().rposition(|number| *number == 2).filter(|_| order.len() > 6) {
                let before = order.iter().position(|number| *number == 2).unwrap_or(again);
                order.drain(before..again);
            }
            assert!(order.is_sorted(), "{execution}: {order:?}");
        }
    }

    #[tokio::test]
    async fn a_record_for_which_the_function_always_fails_takes_no_other_with_it() {
        let stack = Stack::bundled(&Default::default()).unwrap();
        let dynamodb = DynamoDb::open(None, &stack, false).unwrap();
        (0..3).for_each(|number| put(&dynamodb, "one", number));
        let (delivered, mut batches) = mpsc::unbounded_channel();
        let following = follow(&dynamodb, move |batch| {
            let numbers: Vec<u32> = batch.into_iter().map(|(_, number)| number).collect();
            let fails = numbers.contains(&1);
            delivered.send(numbers).unwrap();
            std::future::ready(if fails { vec![FUNCTION_FAILS] } else { Vec::new() }).boxed()
        });
        // All three may come at once, or the first ones before the last.
        let (mut alone, mut handled) = (0, std::collections::BTreeSet::new());
        while alone < 2 || handled.len() < 2 {
            let batch = batches.recv().await.unwrap();
            if batch == [1] {
                alone += 1;
            } else if !batch.contains(&1) {
                assert!(batch.iter().all(|number| handled.insert(*number)), "handled twice: {batch:?}");
            }
        }
        put(&dynamodb, "one", 3);
        assert_eq!(batches.recv().await.unwrap(), [3], "the record is given up after its one retry");
        following.abort();
    }

    #[tokio::test]
    async fn what_was_not_handled_is_kept_for_the_next_start() {
        let stack = Stack::bundled(&Default::default()).unwrap();
        let dynamodb = DynamoDb::open(None, &stack, false).unwrap();
        (0..4).for_each(|number| put(&dynamodb, "held", number));
        let (begun, waits) = mpsc::unbounded_channel();
        let following = follow(&dynamodb, move |batch| {
            begun.send(batch).unwrap();
            std::future::pending().boxed()
        });
        let mut waits = waits;
        assert_eq!(waits.recv().await.unwrap()[0], ("held".to_owned(), 0));
        following.abort();
        let (handled, mut again) = mpsc::unbounded_channel();
        let following = follow(&dynamodb, move |batch| {
            batch.into_iter().for_each(|key| handled.send(key.1).unwrap());
            std::future::ready(Vec::new()).boxed()
        });
        for number in 0..4 {
            assert_eq!(again.recv().await, Some(number));
        }
        following.abort();
    }
}
