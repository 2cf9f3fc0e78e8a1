//! Measures what a busy account costs, and which of AWS's quotas it meets first: many runs at the same time, each of which prints. Each call
//! takes 4 ms, and each key has DynamoDB's quota.

use std::{collections::BTreeMap, fmt::Write as _, time::Instant};

use super::*;

/// The size of a crowd of runs.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub runs: u64,
    /// Lines that each run prints.
    pub lines: u64,
    /// One run in this many has a viewer.
    pub watched: u64,
}

/// The log driver of ECS sends what a container has printed every 5 seconds, at most ("awslogs log driver").
const SENT_EVERY: u64 = 5000;
/// Milliseconds for which each run prints.
const PRINTS_FOR: u64 = 600_000;
/// Runs that are started in each second: what RunTask's quota allows.
const STARTS_A_SECOND: u64 = 20;
/// Runs of a day for which costs are told.
const DAY: f64 = 100_000.0;

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub violations: Vec<String>,
    pub calls: BTreeMap<String, u64>,
    pub refused: BTreeMap<String, u64>,
    /// By table and index.
    pub units: BTreeMap<String, f64>,
    /// The partition of an index or a table that takes the most units, and how many in all.
    pub busiest: (String, f64),
    /// Milliseconds from the delivery of a batch until a viewer has its lines, sorted.
    pub delays: Vec<u64>,
    /// Seconds of virtual time.
    pub lasted: f64,
}

pub fn run(scale: Scale) -> Seen {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let told = seen.clone();
    let set_up = |simulation: &mut Simulation| (simulation.calm, simulation.prompt) = (true, false);
    let outcome = play(0, None, set_up, move |simulation| simulation.scale(scale, told));
    let mut seen = seen.take();
    seen.violations = outcome.violations;
    seen
}

impl Simulation {
    async fn scale(self: Rc<Self>, scale: Scale, seen: Rc<RefCell<Seen>>) {
        self.prepare().await;
        {
            let mut state = self.world.state();
            (state.latency, state.units) = (Some(4), Some(Units::default()));
        }
        self.clone().follow_stream();
        let began = self.world.clock().millis();
        for number in 0..scale.runs {
            let simulation = self.clone();
            self.work(async move {
                simulation.world.wait(number * 1000 / STARTS_A_SECOND).await;
                simulation.chatty_run(number, scale).await;
            });
        }
        while self.busy.get() > 0 {
            self.world.wait(1000).await;
        }
        let mut seen = seen.borrow_mut();
        seen.lasted = (self.world.clock().millis() - began) as f64 / 1000.0;
        seen.calls = self.world.calls();
        seen.refused = self.world.refused();
        for (partition, units) in self.world.dynamodb().write_units() {
            let table = partition.table.trim_start_matches("runvoy-local-");
            let place = partition.index.as_ref().map_or_else(|| table.to_owned(), |index| format!("{table}/{index}"));
            if units > seen.busiest.1 {
                seen.busiest = (format!("{place} {}", partition.key), units);
            }
            *seen.units.entry(place).or_default() += units;
        }
        let delivered = self.delivered.borrow();
        let state = self.world.state();
        for socket in state.sockets.values() {
            for (at, frame) in &socket.frames {
                let lines = frame["events"].as_array().cloned().unwrap_or_else(|| vec![frame.clone()]);
                let ids = lines.iter().filter_map(|line| line["event_id"].as_str());
                seen.delays.extend(ids.filter_map(|id| Some(at.saturating_sub(*delivered.get(id)?))));
            }
        }
        seen.delays.sort_unstable();
    }

    /// A viewer who takes many lines in a frame, as the command line and the console do.
    async fn watch_in_batches(&self, id: &str, token: &str) {
        let connection = format!("connection-of-{id}");
        let parameters = json!({"execution_id": id, "token": token, "batch": "true"});
        self.handle(websocket("$connect", &connection, parameters), false).await.unwrap().unwrap();
        self.world.state().sockets.insert(connection, Socket { open: true, ..Socket::default() });
    }

    /// A run from its request to its end.
    async fn chatty_run(self: &Rc<Self>, number: u64, scale: Scale) {
        let body = json!({"command": format!("command {number}")});
        let mut started = None;
        while started.is_none() {
            match self.request("POST", "/run", &[], body.clone(), false).await {
                Some((202, body, _)) => started = Some(body),
                // A client tries again.
                _ => self.world.wait(1000).await,
            }
        }
        let started = started.unwrap();
        let id = started["execution_id"].as_str().unwrap().to_owned();
        let group = self.world.logs().group(&self.app.config.log_group).unwrap().clone();
        group.create_stream(&format!("task/runner/{id}")).unwrap();
        self.world.wait(1500).await;
        self.task_runs(&id);
        if number.is_multiple_of(scale.watched) {
            let token = started["websocket_url"].as_str().unwrap().split("token=").nth(1).unwrap();
            self.watch_in_batches(&id, token).await;
        }
        let batches = PRINTS_FOR / SENT_EVERY;
        for batch in 0..batches {
            let (from, to) = (scale.lines * batch / batches, scale.lines * (batch + 1) / batches);
            let texts: Vec<String> = (from..to).map(|line| format!("run {number} line {line}")).collect();
            if !texts.is_empty() {
                self.print(&id, texts, &[]);
            }
            self.world.wait(SENT_EVERY).await;
        }
        self.print(&id, vec![self.last_line(&id, 0)], &[]);
        self.task_stops(&id, 0);
    }
}

impl Seen {
    fn delay(&self, of_thousand: usize) -> u64 {
        let last = self.delays.len().saturating_sub(1);
        self.delays.get(last * of_thousand / 1000).copied().unwrap_or_default()
    }

    /// The quota that is used most, and the part of it that is used over the whole time.
    pub fn first_quota(&self) -> (String, f64) {
        let (partition, units) = &self.busiest;
        let of_partition = (format!("write units of {partition}"), units / self.lasted / 1000.0);
        self.of_rates(1.0 / self.lasted).chain([of_partition]).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    }

    /// The quota for calls that is met first by [`DAY`] runs that are spread evenly over a day, and the part of it that they use.
    fn first_quota_of_day(&self, runs: f64) -> (String, f64) {
        self.of_rates(DAY / runs / 86_400.0).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    }

    /// The parts of the quotas for calls that are used, if all calls are made so many times a second.
    fn of_rates(&self, a_second: f64) -> impl Iterator<Item = (String, f64)> {
        let rates = [
            ("ecs:RunTask", 20.0),
            ("ecs:DescribeTasks", 20.0),
            ("logs:FilterLogEvents", 5.0),
            ("execute-api:PostToConnection", 10_000.0),
        ];
        rates.into_iter().map(move |(operation, rate)| {
            let number = |calls: &BTreeMap<String, u64>| calls.get(operation).copied().unwrap_or_default();
            // A call that is refused takes nothing from the quota.
            let calls = number(&self.calls).saturating_sub(number(&self.refused)) as f64;
            (operation.to_owned(), calls * a_second / rate)
        })
    }

    /// As a table for people.
    pub fn table(&self, scale: Scale, took: Instant) -> String {
        let runs = scale.runs as f64;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} runs with {} lines each, one in {} watched: {:.0} s of the account's time in {:.0} s",
            scale.runs,
            scale.lines,
            scale.watched,
            self.lasted,
            took.elapsed().as_secs_f64()
        );
        let _ = writeln!(text, "\n{:<36} {:>12} {:>10} {:>14}", "calls", "all", "a run", "100,000 a day");
        for (operation, calls) in &self.calls {
            let each = *calls as f64 / runs;
            let refused = self.refused.get(operation).map(|refused| format!("  {refused} refused")).unwrap_or_default();
            let _ =
                writeln!(text, "{operation:<36} {calls:>12} {each:>10.1} {:>12.1}/s{refused}", each * DAY / 86_400.0);
        }
        let _ = writeln!(text, "\n{:<36} {:>12} {:>10} {:>14}", "write units", "all", "a run", "100,000 a day");
        for (place, units) in &self.units {
            let each = units / runs;
            let _ = writeln!(text, "{place:<36} {units:>12.0} {each:>10.1} {:>12.1}/s", each * DAY / 86_400.0);
        }
        let (middle, late, last) = (self.delay(500), self.delay(990), self.delay(1000));
        let _ = writeln!(
            text,
            "\nlines reach viewers {middle} ms after their delivery, 99 % within {late} ms, the last after {last} ms"
        );
        let (quota, used) = self.first_quota();
        let _ = writeln!(text, "the quota that is used most over this time: {quota}, {:.1} % of it", used * 100.0);
        for (operation, refused) in &self.refused {
            let _ = writeln!(
                text,
                "a quota that is met for moments: {operation}, {refused} calls were refused and made again"
            );
        }
        let (quota, used) = self.first_quota_of_day(runs);
        let _ = writeln!(text, "the quota that 100,000 runs a day use most: {quota}, {:.0} % of it", used * 100.0);
        text
    }
}
