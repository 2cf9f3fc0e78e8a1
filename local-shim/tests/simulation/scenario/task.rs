//! Plays the tasks of ECS: what they print, and how they end.

use super::*;

/// The stop code of a task of which a container could not start.
pub(super) const FAILED_TO_START: &str = "TaskFailedToStart";

/// The stop code of a task whose Spot capacity was taken back.
pub(super) const SPOT_INTERRUPTION: &str = "SpotInterruption";

/// What ECS says of a task whose image it cannot pull, and of one for which Fargate had no room after all ("Stopped task error messages").
pub(super) const NOT_PULLED: &str = "CannotPullContainerError: pull image manifest has been retried 5 time(s)";
pub(super) const NO_ROOM: &str =
    "Capacity is unavailable at this time. Please try again later or in a different availability zone";

/// The beginning of the runner's last line.
pub(super) const END_LINE: &str = "### runvoy runner: command ended, exit code => ";

/// The beat of a calm seed, in milliseconds. Lines are printed and viewers connect at beats, so that they meet; and a line that
/// was missed stays missing for a whole beat, which is long enough to be noticed.
pub(super) const BEAT: u64 = 8000;

impl Simulation {
    /// Starts the tasks that ECS has accepted and that have not begun.
    pub(super) fn begin_lives(self: Rc<Self>) {
        for id in self.world.tasks() {
            if self.lives.borrow_mut().insert(id.clone()) {
                let simulation = self.clone();
                self.work(async move { simulation.life(id).await });
            }
        }
    }

    /// Makes the streams of a task's log.
    pub(super) fn create_streams(&self, id: &str) {
        let group = self.world.logs().group(&self.app.config.log_group).unwrap().clone();
        for container in ["sidecar", "runner"] {
            group.create_stream(&format!("task/{container}/{id}")).unwrap();
        }
    }

    /// Moves a task to its containers' start, and sends the event of it.
    pub(super) fn task_runs(self: &Rc<Self>, id: &str) {
        for step in [Transition::Pending, Transition::Activating, Transition::PullStarted] {
            // The stack's rule asks for no event of these.
            self.world.advance(id, step);
        }
        let event = self.world.advance(id, Transition::Running).unwrap();
        self.tell_task(id, "RUNNING", &event);
    }

    /// Ends a task whose containers have ended, and sends the event of it.
    pub(super) fn task_stops(self: &Rc<Self>, id: &str, exit_code: i32) {
        self.task_ends(id, "EssentialContainerExited", "Essential container in task exited", Some(exit_code));
    }

    /// Ends a task of which no container started, and sends the event of it.
    pub(super) fn task_fails_to_start(self: &Rc<Self>, id: &str, reason: &str) {
        self.task_ends(id, FAILED_TO_START, reason, None);
    }

    fn task_ends(self: &Rc<Self>, id: &str, stop_code: &'static str, reason: &str, exit_code: Option<i32>) {
        self.world.advance(id, Transition::ContainersEnded);
        let end = TaskEnd {
            stop_code,
            reason: reason.to_owned(),
            exit_codes: exit_code.into_iter().map(|code| ("runner".to_owned(), code)).collect(),
        };
        let event = self.world.advance(id, Transition::Stopped(end)).unwrap();
        self.tell_task(id, "STOPPED", &event);
    }

    /// A task of ECS, from its start to its end.
    pub(super) async fn life(self: Rc<Self>, id: String) {
        let world = &self.world;
        let group = world.logs().group(&self.app.config.log_group).unwrap().clone();
        let stream = format!("task/runner/{id}");
        for stream in [&stream, &format!("task/sidecar/{id}")] {
            group.create_stream(stream).unwrap();
        }
        world.wait(world.between(0, 2000)).await;
        self.task_runs(&id);
        let mut last: Vec<Event> = Vec::new();
        for burst in 0..world.between(0, 14) {
            if world.task(&id).desired_status == "STOPPED" {
                break;
            }
            for batch in 0..if self.calm { world.between(1, 3) } else { 1 } {
                let mut texts: Vec<String> =
                    (0..world.between(1, 8)).map(|line| format!("line {burst}.{batch}.{line}")).collect();
                if burst == 1 && batch == 0 {
                    // A command can print what looks like the runner's last line.
                    texts[0] = format!("{END_LINE}0");
                }
                last = self.print(&id, texts, &last);
            }
            if self.calm {
                self.next_beat().await;
            } else {
                world.wait(world.between(0, 800)).await;
            }
        }
        let stop_wanted = world.task(&id).desired_status == "STOPPED";
        let exit_code = if stop_wanted { 143 } else { world.between(0, 1) as i32 };
        // A runner that is killed by SIGKILL prints no last line.
        let silent = !self.calm && world.chance(80);
        let late = if self.calm || world.chance(700) { 0 } else { world.between(0, 4000) };
        let finish = [self.last_line(&id, exit_code)];
        if !silent && late == 0 {
            self.print(&id, finish.to_vec(), &last);
        }
        self.task_stops(&id, if silent { 137 } else { exit_code });
        if !silent && late > 0 {
            world.wait(late).await;
            self.print(&id, finish.to_vec(), &last);
        }
    }

    /// The runner's last line, with the nonce that the runner got.
    pub(super) fn last_line(&self, id: &str, exit_code: i32) -> String {
        format!("{END_LINE}{exit_code} nonce={}", self.world.variable(id, "RUNVOY_NONCE"))
    }

    /// Delivers lines to CloudWatch, and to its subscription.
    pub(super) fn print(self: &Rc<Self>, id: &str, texts: Vec<String>, before: &[Event]) -> Vec<Event> {
        let world = &self.world;
        let group = world.logs().group(&self.app.config.log_group).unwrap();
        let now = world.clock().millis() as i64;
        let stream = format!("task/runner/{id}");
        let lines: Vec<(i64, String)> = texts.into_iter().map(|text| (now, text)).collect();
        let events = group.put(&stream, &lines).unwrap();
        for delay in self.deliveries(40) {
            // A repeat is sometimes cut into other batches.
            let mut batch = events.clone();
            if !self.calm && world.chance(200) {
                batch = before.iter().cloned().chain(batch).collect();
            }
            let at = world.clock().millis() + delay;
            for event in &batch {
                self.delivered
                    .borrow_mut()
                    .entry(event.event_id.clone())
                    .and_modify(|old| *old = at.min(*old))
                    .or_insert(at);
            }
            // The nonce of the last line is another one in each simulation.
            let first = batch[0].message.split(" nonce=").next().unwrap();
            let name = format!("{} lines from {first:?} of {id}", batch.len());
            self.deliver(name, log_batch_event::event(&self.app.config.log_group, &stream, &batch).unwrap(), delay);
        }
        events
    }

    pub(super) async fn next_beat(&self) {
        self.world.wait(BEAT - self.world.clock().millis() % BEAT).await;
    }
}
