//! Plays many tasks that end in the same second.

use super::*;

/// Tasks that end in the same second, in an account that is new: see [`run_crowd`].
const CROWD: u64 = 100;
/// Invocations at the same time that a new account may have at least ("Lambda quotas").
const NEW_ACCOUNT: usize = 10;

/// [`CROWD`] tasks end in the same second. Half of them are watched. A quarter is ended by SIGKILL, so that they print no last line, and
/// a quarter never starts. A minute later, each log must be complete and each viewer sent off.
pub fn run_crowd(seed: u64) -> Outcome {
    let set_up = |simulation: &mut Simulation| {
        (simulation.calm, simulation.prompt) = (true, false);
        simulation.concurrency = NEW_ACCOUNT;
    };
    play(seed, None, set_up, Simulation::crowd)
}

impl Simulation {
    pub(super) async fn crowd(self: Rc<Self>) {
        self.prepare().await;
        self.clone().follow_stream();
        let mut ids = Vec::new();
        for number in 0..CROWD {
            let body = json!({"command": format!("command {number}")});
            let (_, started, _) = self.request("POST", "/run", &[], body, false).await.unwrap();
            let id = started["execution_id"].as_str().unwrap().to_owned();
            if number % 2 == 0 {
                let token = started["websocket_url"].as_str().unwrap().split("token=").nth(1).unwrap();
                self.watch(&id, token).await;
            }
            ids.push(id);
        }
        // The kinds of ends: with a last line, without one, and without a start.
        let kinds = |number: usize| (number / 2) % 4;
        for (number, id) in ids.iter().enumerate().filter(|(number, _)| kinds(*number) < 3) {
            self.create_streams(id);
            self.task_runs(id);
            self.print(id, vec![format!("line of {number}")], &[]);
        }
        self.world.wait(60_000).await;
        let before = self.world.state().reads_of_logs;
        for (number, id) in ids.iter().enumerate() {
            match kinds(number) {
                0 | 1 => {
                    self.print(id, vec![self.last_line(id, 0)], &[]);
                    self.task_stops(id, 0);
                }
                2 => self.task_stops(id, 137),
                _ => self.task_fails_to_start(id, NOT_PULLED),
            }
            self.world.wait(1000 / CROWD).await;
        }
        self.world.wait(60_000).await;
        let reads = self.world.state().reads_of_logs - before;
        self.world.tell(|| format!("{reads} reads of CloudWatch Logs"));
        // Half of these exceed the quota and are made again.
        if reads > 3 * CROWD {
            self.violate(format!("{reads} reads of CloudWatch Logs for {CROWD} ends"));
        }
        for chain in self.seen.borrow_mut().iter_mut() {
            chain.stayed = self.world.state().sockets[&chain.sessions[0]].closed;
            if !chain.stayed {
                self.violate(format!("the viewer of {} was not sent off within a minute", chain.execution));
            }
        }
        self.check().await;
    }
}
