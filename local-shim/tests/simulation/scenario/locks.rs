//! Plays runs that hold locks and wait in line for them. After each change of the locks table, checks that no lock has more holders than
//! slots, that the first in line is the first to get it, and that no slot stays free while an execution waits for it. Some runs are attempted
//! again: no attempt has two tasks, no execution two that run, and each keeps its locks until its last attempt has ended. Fargate has no room
//! for some of them, or takes their Spot capacity back.

use jiff::Timestamp;
use runvoy_core::execution::Attempt;

use super::*;

/// The locks of a seed.
const NAMES: [&str; 2] = ["a", "b"];
/// Milliseconds between two sweeps.
const SWEEP_EVERY: u64 = 60_000;
/// Milliseconds after which a slot that is free for an execution is taken, where nothing fails.
const SOON: u64 = 1000;
/// Milliseconds after which a free slot is taken after any single fault: until the next sweep, with 10 seconds for its calls and for the
/// indexes that it reads.
const AFTER_ONE_FAULT: u64 = SWEEP_EVERY + 10_000;
/// Milliseconds after which a seed is over, whether or not all executions have ended.
const LONGEST: u64 = 1_200_000;
/// Milliseconds after which the last delivery of an event comes.
const LATEST_DELIVERY: u64 = 30_000;
/// Milliseconds for which an invocation that dies while it starts a task holds up all others.
const START_LEASE: u64 = 30_000;

/// Plays a seed. One in [`CALM`] is without faults, half of the others have one, and the rest have many.
pub fn run_locks(seed: u64, planted: Option<Planted>) -> Outcome {
    let set_up = |simulation: &mut Simulation| (simulation.prompt, simulation.lost_events) = (false, 0);
    // Each third seed has a limit of running executions, too.
    let max_running = (seed % 3 == 1).then_some(2 + (seed % 2) as u32);
    play_in(seed, planted, (max_running, true), set_up, Simulation::locks)
}

/// What the records of the locks table's stream have said, and since when something waits that need not.
#[derive(Default)]
struct Lines {
    /// The places in each lock's line, with the execution of each and when it was there first, in milliseconds.
    waiting: BTreeMap<String, BTreeMap<String, (String, u64)>>,
    /// The places that were left last, by lock and execution. The records of one transaction come in any order.
    left: BTreeMap<(String, String), String>,
    /// Since when each of these lasts, in milliseconds.
    since: BTreeMap<String, u64>,
}

/// An execution's record, as far as locks concern it.
struct Seen {
    id: String,
    status: String,
    locks: Vec<String>,
    held: usize,
    /// The number of its locks without its place among those that may run.
    own: usize,
    is_in_line: bool,
    waits_for_capacity: bool,
    has_task: bool,
    /// The time of its next attempt, while it pauses for that.
    pauses_until: Option<Timestamp>,
}

impl Seen {
    fn has_ended(&self) -> bool {
        ["SUCCEEDED", "FAILED", "STOPPED"].contains(&self.status.as_str())
    }
}

impl Simulation {
    async fn locks(self: Rc<Self>) {
        self.prepare().await;
        for name in NAMES {
            let slots = json!({"slots": self.world.between(1, 3)});
            let set = self.request("PUT", &format!("/locks/{name}"), &[], slots, false).await;
            assert!(matches!(set, Some((200, ..))), "{set:?}");
        }
        let faults = match (self.calm, self.world.chance(500)) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => self.world.between(2, 12) as u32,
        };
        // Slow connections take longer than the second that is allowed where nothing fails.
        self.world.state().latency = self.calm.then_some(4);
        self.world.state().faults = faults;
        let no_room = if self.world.chance(400) { self.world.between(1, 4) as u32 } else { 0 };
        self.world.state().no_room = no_room;
        let longest = match faults {
            0 => Some(SOON),
            1 => Some(AFTER_ONE_FAULT),
            _ => None,
        };
        self.clone().follow_stream();
        for background in [
            self.clone().watch_lines(longest).boxed_local(),
            self.clone().sweep().boxed_local(),
            self.clone().start_tasks().boxed_local(),
            self.clone().hand_over_messages().boxed_local(),
        ] {
            self.spawner.spawn_local(background).unwrap();
        }
        for number in 0..self.world.between(4, 9) {
            let simulation = self.clone();
            self.work(async move { simulation.locked_run(number).await });
        }
        if self.world.chance(300) {
            let simulation = self.clone();
            self.work(async move { simulation.add_slot().await });
        }
        // Each execution ends, and gives back what it held.
        for _ in 0..LONGEST / 500 {
            self.world.wait(500).await;
            self.check_starts();
            if !self.violations.borrow().is_empty() {
                return;
            }
            if self.busy.get() == 0 && self.executions().iter().all(Seen::has_ended) {
                break;
            }
        }
        for open in self.executions().iter().filter(|execution| !execution.has_ended()) {
            self.violate(format!("{} stays {}", open.id, open.status));
        }
        self.world.state().faults = 0;
        self.check_attempts().await;
        // What the sweep frees was not given back with the end.
        for item in self.items("locks") {
            let (held, waiting) = (number(&item, "held"), number(&item, "waiting"));
            if item["place"]["S"] != "#lock" || held + waiting > 0 {
                self.violate(format!("after all ends, the locks have {item}"));
            }
        }
    }

    /// A run that needs one lock or both, and is sometimes killed.
    async fn locked_run(self: Rc<Self>, number: u64) {
        let world = &self.world;
        // Some come at the same moment.
        let at = world.between(0, 8000);
        world.wait(if world.chance(500) { at - at % 4000 } else { at }).await;
        let names: &[&str] = match world.between(0, 3) {
            0 => &NAMES[1..],
            1 => &NAMES,
            _ => &NAMES[..1],
        };
        let waits = world.chance(850);
        let mut body = json!({
            "command": format!("command {number}"), "lock": names,
            "on_conflict": if waits { "queue" } else { "refuse" },
        });
        if world.chance(300) {
            body["spot"] = json!(true);
        }
        if world.chance(400) {
            let on: &[&str] = match world.between(0, 3) {
                0 => &["exit"],
                1 => &["exit", "start"],
                2 => &["exit", "spot"],
                _ => &["capacity", "spot", "start", "exit"],
            };
            body["retry"] = json!({"attempts": world.between(2, 4), "on": on, "backoff": world.between(0, 12)});
        }
        let key = format!("key-{number}");
        let mut id = None;
        for _ in 0..14 {
            let answer = self.request("POST", "/run", &[("idempotency-key", &key)], body.clone(), true).await;
            match answer {
                Some((202, started, _)) => {
                    id = started["execution_id"].as_str().map(str::to_owned);
                    break;
                }
                Some((409 | 429, ..)) if !waits => return,
                Some((400..500, refused, _)) => return self.violate(format!("run {number} was refused: {refused}")),
                _ => world.wait(1000).await,
            }
        }
        let Some(id) = id else { return self.violate(format!("run {number} was never accepted")) };
        world.tell(|| format!("run {number} of {names:?} is {id}"));
        if world.chance(250) {
            self.killed.borrow_mut().insert(id.clone());
            world.wait(world.between(0, 15_000)).await;
            for _ in 0..3 {
                let killed = self.request("DELETE", &format!("/executions/{id}"), &[], Value::Null, true).await;
                world.tell(|| format!("{id} was killed: {killed:?}"));
                if matches!(killed, Some((200 | 204 | 409, ..))) {
                    break;
                }
                world.wait(500).await;
            }
        }
    }

    /// Gives a lock more slots while executions wait for it.
    async fn add_slot(&self) {
        self.world.wait(self.world.between(4000, 14_000)).await;
        let set = self.request("PUT", "/locks/a", &[], json!({"slots": 4}), true).await;
        self.world.tell(|| format!("a has another slot: {set:?}"));
    }

    async fn sweep(self: Rc<Self>) {
        let sweep = json!({
            "source": "aws.events", "detail-type": "Scheduled Event", "detail": {"runvoy_event": "sweep"},
        });
        self.world.wait(self.world.between(0, SWEEP_EVERY)).await;
        loop {
            self.deliver("the sweep".to_owned(), sweep.clone(), 0);
            self.world.wait(SWEEP_EVERY).await;
        }
    }

    /// Checks after each change of the locks, and now and then.
    async fn watch_lines(self: Rc<Self>, longest: Option<u64>) {
        let mut stream = self.world.dynamodb().follow(&self.app.config.tables.locks).unwrap();
        let mut lines = Lines::default();
        let (mut seen, mut items, mut executions) = (u64::MAX, Vec::new(), Vec::new());
        loop {
            let records = futures_util::select_biased! {
                records = stream.next(1000).boxed_local().fuse() => records.unwrap(),
                () = self.world.wait(500).boxed_local().fuse() => Vec::new(),
            };
            for record in records {
                self.check_order(&mut lines, &record);
            }
            let writes = self.world.state().writes;
            if writes != seen {
                (seen, items, executions) = (writes, self.items("locks"), self.executions());
            }
            self.check_holders(&items, &executions);
            if let Some(longest) = longest {
                self.check_waits(&mut lines, longest, &items, &executions);
            }
        }
    }

    /// Checks that no execution gets a lock before one that was in line when it came.
    fn check_order(&self, lines: &mut Lines, record: &Value) {
        let key = &record["dynamodb"]["Keys"];
        let (Some(name), Some(place)) = (key["name"]["S"].as_str(), key["place"]["S"].as_str()) else { return };
        let id = place.rsplit('#').next().unwrap().to_owned();
        let line = lines.waiting.entry(name.to_owned()).or_default();
        let of_lock = (name.to_owned(), id.clone());
        match (record["eventName"].as_str(), place.split('#').next()) {
            (Some("INSERT"), Some("q")) => drop(line.insert(place.to_owned(), (id, self.world.clock().millis()))),
            (Some("REMOVE"), Some("q")) => {
                line.remove(place);
                lines.left.insert(of_lock, place.to_owned());
            }
            (Some("INSERT"), Some("h")) => {
                let own = line.iter().find(|(_, (of, _))| *of == id).map(|(place, _)| place.clone());
                let own = own.or_else(|| lines.left.remove(&of_lock));
                // A place names the time at which its execution came. Two that came while the other's place was being written have no order.
                let came = own.as_ref().map_or(u64::MAX, |own| own.split('#').nth(1).unwrap().parse().unwrap());
                let others = line.iter().filter(|(_, (of, there))| *of != id && *there < came);
                let ahead: Vec<&String> = others.map(|(place, _)| place).collect();
                self.world.tell(|| format!("{id} holds {name}, {} wait", line.len()));
                if !ahead.is_empty() {
                    self.violate(format!("{id} got lock {name} before {ahead:?}"));
                }
            }
            _ => {}
        }
    }

    /// Checks that no lock has more holders, and no lock's executions more tasks, than slots, and that each holder may hold it.
    fn check_holders(&self, items: &[Value], executions: &[Seen]) {
        let tasks = self.world.tasks().into_iter().map(|id| self.world.task(&id));
        let mut live = BTreeSet::new();
        for attempt in tasks
            .filter(|task| task.last_status != "STOPPED")
            .filter_map(|task| Attempt::parse(task.started_by.as_deref()?))
        {
            if !live.insert(attempt.execution_id.to_string()) {
                self.violate(format!("attempt {} of {} runs beside another", attempt.number, attempt.execution_id));
            }
        }
        for execution in executions.iter().filter(|execution| !execution.has_ended()) {
            let holds = |lock: &&String| {
                let is_place =
                    |item: &&Value| item["name"]["S"] == **lock && item["place"]["S"] == *format!("h#{}", execution.id);
                items.iter().any(|item| is_place(&item))
            };
            let held = execution.locks.iter().take(execution.held).filter(holds).count();
            let keeps = execution.pauses_until.is_some() || execution.waits_for_capacity;
            if held != execution.held || keeps && held < execution.own {
                self.violate(format!("{} holds {held} of {:?}, not {}", execution.id, execution.locks, execution.held));
            }
        }
        for head in items.iter().filter(|item| item["place"]["S"] == "#lock") {
            let name = head["name"]["S"].as_str().unwrap();
            let claims = |kind: &str| -> Vec<&str> {
                let places = items.iter().filter(|item| item["name"] == head["name"]);
                places.filter_map(|item| item["place"]["S"].as_str()).filter(|place| place.starts_with(kind)).collect()
            };
            let (holders, places) = (claims("h#"), claims("q#"));
            let (held, slots) = (number(head, "held"), number(head, "slots"));
            if held > slots || holders.len() as u64 != held || places.len() as u64 != number(head, "waiting") {
                self.violate(format!("{head} has {} holders and {} in line", holders.len(), places.len()));
            }
            let may_run =
                |execution: &&Seen| execution.locks.iter().any(|lock| lock == name) && live.contains(&execution.id);
            let running = executions.iter().filter(may_run).count() as u64;
            if running > slots {
                self.violate(format!("{running} tasks run with lock {name} of {slots} slots"));
            }
            for holder in holders {
                let execution = executions.iter().find(|execution| holder.ends_with(&execution.id));
                let may_hold = |execution: &Seen| {
                    !execution.has_ended() && execution.locks.iter().take(execution.held).any(|lock| lock == name)
                };
                if !execution.is_some_and(may_hold) {
                    self.violate(format!("{holder} holds lock {name} and may not"));
                }
            }
        }
    }

    /// Checks that nothing waits for longer than it need.
    fn check_waits(&self, lines: &mut Lines, longest: u64, items: &[Value], executions: &[Seen]) {
        let mut lasting = Vec::new();
        for head in items.iter().filter(|item| item["place"]["S"] == "#lock") {
            let name = head["name"]["S"].as_str().unwrap();
            let is_free = number(head, "held") < number(head, "slots");
            if is_free && number(head, "waiting") > 0 {
                lasting.push((format!("lock {name} has a free slot and a line"), longest));
            }
            for execution in executions {
                let waits_otherwise = execution.pauses_until.is_some() || execution.waits_for_capacity;
                let needs = execution.status == "QUEUED" && !execution.is_in_line && !waits_otherwise;
                if is_free && needs && execution.locks.get(execution.held).is_some_and(|lock| lock == name) {
                    lasting
                        .push((format!("{} is not in the line of lock {name}, which is free", execution.id), longest));
                }
            }
        }
        let time = Timestamp::from_millisecond(self.world.clock().millis() as i64).unwrap();
        for execution in executions.iter().filter(|execution| execution.status == "QUEUED" && !execution.is_in_line) {
            if execution.pauses_until.is_some_and(|until| until <= time) {
                // The message may be lost, and the sweep begins the attempt then.
                lasting
                    .push((format!("{} does not begin its next attempt", execution.id), AFTER_ONE_FAULT.max(longest)));
            }
        }
        // Only the sweep looks for capacity, and a fault may end one.
        let until_swept = if self.calm { AFTER_ONE_FAULT } else { AFTER_ONE_FAULT + SWEEP_EVERY };
        let has_room = self.world.state().no_room == 0;
        for execution in executions.iter().filter(|execution| execution.waits_for_capacity && has_room) {
            lasting.push((format!("{} waits for capacity, which there is", execution.id), until_swept));
        }
        // One that is killed has no task before an invocation takes the lease of its start.
        let holds = |execution: &&Seen| matches!(execution.status.as_str(), "STARTING" | "TERMINATING");
        for execution in executions.iter().filter(holds).filter(|execution| !execution.has_task) {
            let may_take = if self.calm { 2 * longest } else { longest + LATEST_DELIVERY + START_LEASE };
            lasting.push((format!("{} is {} with its locks and no task", execution.id, execution.status), may_take));
        }
        let now = self.world.clock().millis();
        lines.since.retain(|what, _| lasting.iter().any(|(lasts, _)| lasts == what));
        for (what, longest) in lasting {
            let since = *lines.since.entry(what.clone()).or_insert(now);
            if now - since > longest {
                self.violate(format!("{what} for {} ms", now - since));
            }
        }
    }

    fn executions(&self) -> Vec<Seen> {
        let items = self.items("executions");
        // An item without a status leads from a task to its execution.
        let executions = items.iter().filter(|item| item["status"].is_object());
        let text = |value: &Value| value["S"].as_str().unwrap_or_default().to_owned();
        // Its place among those that may run is a lock that it takes last.
        let limit = self.app.config.max_running.map(|_| "~running".to_owned());
        let seen = |item: &Value| Seen {
            id: text(&item["execution_id"]),
            status: text(&item["status"]),
            locks: item["lock"]["L"].as_array().into_iter().flatten().map(text).chain(limit.clone()).collect(),
            held: number(item, "locks_held") as usize,
            own: item["lock"]["L"].as_array().map_or(0, Vec::len),
            is_in_line: item["place"].is_object(),
            waits_for_capacity: item["waits_for"]["S"] == "capacity",
            has_task: item["task_id"].is_object(),
            pauses_until: item["next_attempt_at"]["S"].as_str().map(|at| at.parse().unwrap()),
        };
        executions.map(seen).collect()
    }

    /// The items of a table as they are now, read without a call of the handlers.
    pub(super) fn items(&self, table: &str) -> Vec<Value> {
        let tables = &self.app.config.tables;
        let table = if table == "locks" { &tables.locks } else { &tables.executions };
        let body = json!({"TableName": table}).to_string();
        let now = Duration::from_millis(self.world.clock().millis());
        let answer: Value =
            serde_json::from_slice(&self.world.dynamodb().call_at("Scan", body.as_bytes(), now).body).unwrap();
        answer["Items"].as_array().unwrap().clone()
    }
}

/// The number in an attribute of an item; 0 if it has none.
pub(super) fn number(item: &Value, attribute: &str) -> u64 {
    item[attribute]["N"].as_str().map_or(0, |number| number.parse().unwrap())
}
