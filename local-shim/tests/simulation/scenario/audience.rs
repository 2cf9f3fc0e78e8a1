//! Plays logs with many viewers, of which some may never read.

use super::*;

/// Viewers of one log, and how many of them never read: see [`run_stuck`].
const VIEWERS: usize = 300;
const STUCK: usize = 50;

/// A log with [`VIEWERS`], of which some never read. No event may fail for them, and no other viewer may wait for them.
pub fn run_stuck(seed: u64) -> Outcome {
    play(seed, None, |simulation| (simulation.calm, simulation.prompt) = (true, true), Simulation::stuck)
}

/// How many viewers of one log connect in a second: see [`run_audience`].
const CONNECTS: u64 = 250;

/// A log with this many viewers, which connect while lines are printed. Calls take 4 ms, and keys have DynamoDB's quotas.
pub fn run_audience(seed: u64, viewers: usize) -> Outcome {
    let set_up = |simulation: &mut Simulation| (simulation.calm, simulation.prompt) = (true, true);
    play(seed, None, set_up, move |simulation| simulation.audience(viewers))
}

impl Simulation {
    /// Starts a run whose task runs. Answers with its id and the token of its viewers.
    pub(super) async fn start_task(self: &Rc<Self>) -> (String, String) {
        let (_, started, _) = self.request("POST", "/run", &[], json!({"command": "c"}), false).await.unwrap();
        let id = started["execution_id"].as_str().unwrap().to_owned();
        let token = started["websocket_url"].as_str().unwrap().split("token=").nth(1).unwrap().to_owned();
        self.create_streams(&id);
        self.task_runs(&id);
        (id, token)
    }

    /// Checks that each viewer's connection was closed.
    pub(super) fn check_sent_off(&self) {
        for chain in self.seen.borrow_mut().iter_mut() {
            chain.stayed = self.world.state().sockets[&chain.sessions[0]].closed;
            if !chain.stayed {
                self.violate(format!("{:?} was not sent off", chain.sessions));
            }
        }
    }

    /// One log with many viewers, of which some never read.
    pub(super) async fn stuck(self: Rc<Self>) {
        self.prepare().await;
        self.clone().follow_stream();
        let (id, token) = self.start_task().await;
        for number in 0..VIEWERS {
            self.watch_as(&format!("connection-{number}"), &id, &token).await;
            let full = (number < STUCK).then_some((0, u64::MAX));
            self.world.state().sockets.get_mut(&format!("connection-{number}")).unwrap().full = full;
        }
        for line in 0..6 {
            self.print(&id, vec![format!("line {line}")], &[]);
            self.world.wait(5000).await;
        }
        self.print(&id, vec![format!("{END_LINE}0")], &[]);
        self.task_stops(&id, 0);
        self.world.wait(120_000).await;
        // A stuck viewer is closed, and has seen nothing. The others have seen all, in time.
        let stuck: Vec<Chain> = self.seen.borrow_mut().drain(..STUCK).collect();
        for chain in &stuck {
            let socket = &self.world.state().sockets[&chain.sessions[0]];
            if !socket.closed || !socket.frames.is_empty() {
                self.violate(format!("{:?} reads nothing and is not closed", chain.sessions));
            }
        }
        self.check_sent_off();
        if let Some(line) = self.world.state().story.iter().find(|line| line.contains("failed")) {
            self.violate(format!("a stuck viewer made an event fail: {line}"));
        }
        self.check().await;
    }

    /// One log with very many viewers.
    pub(super) async fn audience(self: Rc<Self>, viewers: usize) {
        self.prepare().await;
        {
            let mut state = self.world.state();
            (state.latency, state.units) = (Some(4), Some(Units::default()));
        }
        self.clone().follow_stream();
        let (id, token) = self.start_task().await;
        for number in 0..viewers {
            let (simulation, watched, token) = (self.clone(), id.clone(), token.clone());
            self.work(async move { simulation.watch_as(&format!("connection-{number}"), &watched, &token).await });
            self.world.wait(1000 / CONNECTS).await;
            if number.is_multiple_of(50) {
                self.print(&id, vec![format!("line with {number} viewers")], &[]);
            }
        }
        self.world.wait(10_000).await;
        for line in 0..4 {
            let before = self.writes_of(&id);
            self.print(&id, vec![format!("line {line}")], &[]);
            self.world.wait(5000).await;
            // The batch and the head in a transaction, whose writes count twice, and the release. The first of these batches takes the last
            // viewers into the fan-out.
            let units = self.writes_of(&id) - before;
            if line > 0 && units != 5.0 {
                self.violate(format!("a batch with {viewers} viewers took {units} write units"));
            }
        }
        let last = self.last_line(&id, 0);
        self.print(&id, vec![last], &[]);
        self.task_stops(&id, 0);
        self.world.wait(60_000).await;
        let mut sent_off: Vec<u64> = Vec::new();
        for chain in self.seen.borrow_mut().iter_mut() {
            let state = self.world.state();
            let socket = &state.sockets[&chain.sessions[0]];
            chain.stayed = socket.closed;
            if !chain.stayed {
                self.violate(format!("{:?} was not sent off", chain.sessions));
            }
            sent_off.extend(socket.frames.last().map(|(at, _)| *at));
        }
        // Each connection that closes invokes the function.
        let at_once = sent_off.iter().map(|at| sent_off.iter().filter(|one| (*at..at + 400).contains(one)).count());
        let at_once = at_once.max().unwrap_or_default();
        if at_once > 100 {
            self.violate(format!("{at_once} connections were closed at once"));
        }
        let (throttled, busiest) = {
            let state = self.world.state();
            let units = state.units.as_ref().unwrap();
            (units.throttled, units.busiest())
        };
        self.world.tell(|| format!("{throttled} throttled calls; units: {busiest:#?}"));
        if let Some(line) = self.world.state().story.iter().find(|line| line.contains("failed")) {
            self.violate(format!("an event failed: {line}"));
        }
        self.world.state().units = None;
        self.check().await;
    }

    /// The write units that the log and the viewers of an execution have taken.
    pub(super) fn writes_of(&self, id: &str) -> f64 {
        self.world.state().units.as_ref().unwrap().writes_of(id)
    }
}
