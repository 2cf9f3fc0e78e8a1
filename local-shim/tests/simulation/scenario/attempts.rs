//! Plays the tasks of runs with locks and the queue that begins their next attempts. Checks that each run has the attempts that its tasks
//! needed, and that its log has the lines of each.

use local_shim::aws::ecs::Task;

use super::{check::end_of, locks::number, *};

/// A task prints lines each time that so many of its steps have passed: seldom, since each batch is an event.
const LINES_EVERY: u64 = 15;

impl Simulation {
    /// Hands each message of the queue over when it is due, sometimes twice. A message that comes too early, or whose handler dies, is lost.
    pub(super) async fn hand_over_messages(self: Rc<Self>) {
        loop {
            let now = self.world.clock().millis();
            let due: Vec<(u64, String)> = self.world.state().messages.extract_if(.., |(due, _)| *due <= now).collect();
            for (_, body) in due {
                let record = json!({
                    "messageId": "1", "receiptHandle": "1", "eventSource": "aws:sqs", "body": body,
                    "attributes": {"ApproximateReceiveCount": "1"},
                });
                for delay in self.deliveries(0) {
                    self.deliver(format!("the message {body}"), json!({"Records": [record.clone()]}), delay);
                }
            }
            self.world.wait(100).await;
        }
    }

    /// Gives each task that ECS accepts a life.
    pub(super) async fn start_tasks(self: Rc<Self>) {
        loop {
            for id in self.world.tasks() {
                if self.lives.borrow_mut().insert(id.clone()) {
                    let simulation = self.clone();
                    self.work(async move { simulation.locked_life(id).await });
                }
            }
            self.world.wait(50).await;
        }
    }

    /// A task from its start to its end. There may be no room for it after all, and one on Spot may lose its capacity, in which case it is
    /// sometimes killed before it prints its last line.
    async fn locked_life(self: Rc<Self>, id: String) {
        let world = &self.world;
        world.wait(world.between(0, 1500)).await;
        match world.between(0, 99) {
            0..5 => return self.task_fails_to_start(&id, NOT_PULLED),
            5..8 => return self.task_fails_to_start(&id, NO_ROOM),
            _ => {}
        }
        self.create_streams(&id);
        self.task_runs(&id);
        for step in 0..world.between(0, 30) {
            if world.task(&id).desired_status == "STOPPED" {
                break;
            }
            if step % LINES_EVERY == 0 {
                let texts = (0..world.between(1, 3)).map(|line| format!("line {step}.{line} of task {id}"));
                self.print(&id, texts.collect(), &[]);
            }
            world.wait(200).await;
        }
        let is_reclaimed = world.task(&id).is_on_spot() && world.chance(400);
        if is_reclaimed {
            let event = world.advance(&id, Transition::Interrupted).unwrap();
            self.tell_task(&id, "the interruption", &event);
            world.wait(world.between(0, 3000)).await;
        }
        if is_reclaimed && world.chance(500) {
            return self.task_stops(&id, 137);
        }
        let exit_code = world.between(0, 1) as i32;
        self.print(&id, vec![self.last_line(&id, exit_code)], &[]);
        self.task_stops(&id, exit_code);
    }

    /// Checks that no two invocations have started an attempt at the same time.
    pub(super) fn check_starts(&self) {
        for double in std::mem::take(&mut self.world.state().double_starts) {
            self.violate(double);
        }
    }

    /// Checks that no two invocations have started an attempt at the same time, and of each execution that its attempts are those that its
    /// tasks needed, that it ended as the last of them, and that its log has the lines of all.
    pub(super) async fn check_attempts(&self) {
        self.check_starts();
        let all: Vec<_> = self.world.tasks().into_iter().map(|id| (self.world.task(&id), id)).collect();
        for item in self.items("executions").iter().filter(|item| item["status"].is_object()) {
            let id = item["execution_id"]["S"].as_str().unwrap();
            let attempt = number(item, "attempt");
            let tasks: Vec<Vec<&(Task, String)>> = (1..=attempt + 1)
                .map(|number| {
                    let of = format!("{id}-{number}");
                    all.iter().filter(|(task, _)| task.started_by.as_deref() == Some(&of)).collect()
                })
                .collect();
            self.check_list(id, item, &tasks);
            // A reader compares the log with CloudWatch, which is asked 5 times a second at most.
            self.world.wait(3000).await;
            self.check_lines(id, &tasks[..attempt as usize]).await;
        }
    }

    /// Checks the list of an execution's attempts. `tasks` has those of each attempt, and those of one more.
    fn check_list(&self, id: &str, item: &Value, tasks: &[Vec<&(Task, String)>]) {
        let wanted = &item["retry"]["M"];
        let (attempt, most) = (number(item, "attempt"), number(wanted, "attempts").max(1));
        let earlier = item["attempts"]["L"].as_array().map_or(&[][..], Vec::as_slice);
        let numbers: Vec<u64> = earlier.iter().map(|one| number(&one["M"], "number")).collect();
        if numbers != (1..attempt).collect::<Vec<_>>() || attempt > most {
            self.violate(format!("{id} is at attempt {attempt} of {most}, after {numbers:?}"));
        }
        for (one, own) in earlier.iter().zip(tasks) {
            let one = &one["M"];
            let told = (one["task_id"]["S"].as_str(), one["on"]["S"].as_str());
            let expected = match own[..] {
                [] => (None, Some("capacity")),
                [(task, id)] => (Some(id.as_str()), Some(kind(task))),
                _ => (None, None),
            };
            if told != expected {
                self.violate(format!("an attempt of {id} is {one}, not {expected:?}"));
            }
        }
        let last = &tasks[attempt as usize - 1];
        if last.len() > 1 || !tasks[attempt as usize].is_empty() {
            self.violate(format!("{id} at attempt {attempt} has more tasks than attempts"));
        }
        let status = item["status"]["S"].as_str().unwrap();
        let end = match last[..] {
            [(task, _)] => {
                let (expected, exit_code) = end_of(task);
                if (status, number(item, "exit_code")) != (expected, exit_code as u64) {
                    self.violate(format!("{id} ended as {status}, not as its last attempt: {expected}"));
                }
                kind(task)
            }
            _ => "capacity",
        };
        let on = |end: &str| wanted["on"]["L"].as_array().is_some_and(|on| on.iter().any(|one| one["S"] == end));
        let is_left_out = status == "FAILED" && on(end) && attempt < most;
        if is_left_out && !self.killed.borrow().contains(id) {
            self.violate(format!("{id} has {status} after attempt {attempt} of {most}"));
        }
    }

    /// Checks that an execution's log has the lines of each attempt once and in order, each attempt but the first below its mark.
    async fn check_lines(&self, id: &str, tasks: &[Vec<&(Task, String)>]) {
        let mut read = self.read_log(id).await;
        // CloudWatch refuses calls above its quota. A reader who is told that lines may be missing reads again.
        for _ in 0..5 {
            if read.last().is_none_or(|last| !last.ends_with("-incomplete")) {
                break;
            }
            self.world.wait(3000).await;
            read = self.read_log(id).await;
        }
        // It says why no further line comes, or that CloudWatch refused to be asked whether there are any.
        read.pop_if(|last| *last == "9".repeat(56) || last.ends_with("-incomplete"));
        let mut found: Vec<Vec<String>> = vec![Vec::new()];
        for line in read {
            match line.rsplit_once("-attempt-") {
                None => found.last_mut().unwrap().push(line),
                Some((_, number)) if number.parse() == Ok(found.len() + 1) => found.push(Vec::new()),
                Some(_) => {
                    self.violate(format!("the log of {id} has the mark {line} after that of attempt {}", found.len()));
                }
            }
        }
        let lines =
            |own: &Vec<&(Task, String)>| own.iter().flat_map(|(_, task)| self.printed(task)).collect::<Vec<_>>();
        let mut printed: Vec<Vec<String>> = tasks.iter().map(lines).collect();
        // An attempt before whose beginning the execution was ended has no mark.
        if tasks.last().is_some_and(Vec::is_empty) && found.len() < printed.len() {
            printed.pop();
        }
        if found != printed {
            let counts = |sections: &[Vec<String>]| sections.iter().map(Vec::len).collect::<Vec<_>>();
            self.violate(format!(
                "the attempts of {id} printed {:?} lines, and its log has {:?}",
                counts(&printed),
                counts(&found)
            ));
        }
    }
}

/// The kind of a task's end, after which another attempt may follow.
fn kind(task: &Task) -> &'static str {
    match task.stop_code.as_deref() {
        Some(SPOT_INTERRUPTION) => "spot",
        Some(FAILED_TO_START) if task.stopped_reason.as_deref() == Some(NO_ROOM) => "capacity",
        Some(FAILED_TO_START) => "start",
        _ => "exit",
    }
}
