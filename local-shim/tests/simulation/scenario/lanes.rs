//! Plays what a lane of the stream of viewers must not do: wait for an invocation that died, or do for each viewer what is enough once for all.

use super::*;

/// Viewers who connect at once.
const COHORT: usize = 50;
/// Milliseconds that the event of a stream may take: a turn, and a call or two.
const LONGEST: u64 = 5000;
/// The milliseconds of the leases of an invocation that died.
const LEASE: u64 = 20_000;

/// Viewers who connect at once to a log that has ended.
pub fn run_cohort() -> Outcome {
    play(0, None, |simulation| (simulation.calm, simulation.prompt) = (true, false), Simulation::cohort)
}

/// Viewers whose invocations died with their leases.
pub fn run_dead_leases() -> Outcome {
    play(0, None, |simulation| (simulation.calm, simulation.prompt) = (true, false), Simulation::dead_leases)
}

impl Simulation {
    /// Starts a run, whose task prints a line.
    async fn running(self: &Rc<Self>) -> (String, String) {
        let (id, token) = self.start_task().await;
        self.print(&id, vec!["first".to_owned()], &[]);
        self.world.wait(2000).await;
        (id, token)
    }

    fn ends(self: &Rc<Self>, id: &str) {
        let last = self.last_line(id, 0);
        self.print(id, vec![last], &[]);
        self.task_stops(id, 0);
    }

    fn update(&self, table: &str, update: Value) {
        let mut update = update;
        update["TableName"] = json!(format!("runvoy-local-{table}"));
        let answer = self.world.dynamodb().call("UpdateItem", update.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    }

    async fn all_are_sent_off(&self) {
        self.check_sent_off();
        self.check().await;
    }

    /// A log that ended without viewers is compared with CloudWatch for the first of those who come later.
    async fn cohort(self: Rc<Self>) {
        self.prepare().await;
        let mut stream = self.world.dynamodb().follow(&self.app.config.tables.websocket_connections).unwrap();
        let (id, token) = self.running().await;
        self.ends(&id);
        self.world.wait(30_000).await;
        let before = self.world.state().reads_of_logs;
        for number in 0..COHORT {
            self.watch_as(&format!("connection-{number}"), &id, &token).await;
        }
        let records = stream.next(100).await.unwrap();
        let answer = self.handle(json!({"Records": records}), false).await;
        if !matches!(&answer, Some(Ok(answer)) if answer["batchItemFailures"].as_array().is_some_and(Vec::is_empty)) {
            self.violate(format!("the event of {} viewers: {answer:?}", records.len()));
        }
        self.clone().follow_stream();
        let reads = self.world.state().reads_of_logs - before;
        if reads != 1 {
            self.violate(format!("{COHORT} viewers read CloudWatch Logs {reads} times"));
        }
        self.world.wait(10_000).await;
        self.all_are_sent_off().await;
    }

    /// An invocation has died with the lease of a viewer, and one with that of the fan-out. Each event of the stream ends soon all the same,
    /// and the viewers have every line when the leases have ended.
    async fn dead_leases(self: Rc<Self>) {
        self.prepare().await;
        let mut stream = self.world.dynamodb().follow(&self.app.config.tables.websocket_connections).unwrap();
        let (id, token) = self.running().await;
        self.watch_as("alone", &id, &token).await;
        self.watch_as("other", &id, &token).await;
        let until = json!({"N": (self.world.clock().millis() + LEASE).to_string()});
        let owner = json!({"S": "an invocation that died"});
        self.update(
            "websocket-connections",
            json!({
                "Key": {"execution_id": {"S": id}, "connection_id": {"S": "alone"}},
                "UpdateExpression": "SET lease_owner = :owner, lease_until = :until",
                "ExpressionAttributeValues": {":owner": owner, ":until": until},
            }),
        );
        self.update(
            "log-heads",
            json!({
                "Key": {"execution_id": {"S": id}},
                "UpdateExpression": "SET version = version + :one, fan_owner = :owner, fan_until = :until, fan_position = :zero",
                "ExpressionAttributeValues": {
                    ":one": {"N": "1"}, ":zero": {"N": "0"}, ":owner": owner, ":until": until,
                },
            }),
        );
        self.update(
            "websocket-connections",
            json!({
                "Key": {"execution_id": {"S": id}, "connection_id": {"S": "other"}},
                "UpdateExpression": "SET handed_over = :true, fan_out = :mark",
                "ExpressionAttributeValues": {":true": {"BOOL": true}, ":mark": {"S": "mark"}},
            }),
        );
        let mapping = self.mappings[0].1.clone();
        let (began, mut events) = (self.world.clock().millis(), 0);
        while self.world.clock().millis() < began + LEASE + 2 * LONGEST {
            let records: Vec<Value> =
                stream.next(100).await.unwrap().into_iter().filter(|record| mapping.wants(record)).collect();
            if records.is_empty() {
                continue;
            }
            let handled_from = self.world.clock().millis();
            let answer = self.handle(json!({"Records": records}), false).await;
            let took = self.world.clock().millis() - handled_from;
            events += 1;
            if took > LONGEST {
                self.violate(format!("an event held its lane for {took} ms"));
            }
            if !matches!(&answer, Some(Ok(answer)) if answer["batchItemFailures"].as_array().is_some_and(Vec::is_empty))
            {
                self.violate(format!("an event failed: {answer:?}"));
            }
            let has_line = |name: &str| !lines(&self.world.state().sockets[name].frames).is_empty();
            if has_line("alone") && has_line("other") {
                break;
            }
        }
        if events > 2 * LEASE / 2000 {
            self.violate(format!("{events} events came for a lease of {LEASE} ms"));
        }
        self.clone().follow_stream();
        self.ends(&id);
        self.world.wait(30_000).await;
        self.all_are_sent_off().await;
    }
}
