//! Plays the queue that begins the next attempts of runs, and checks that each run has the attempts that its tasks needed.

use super::{locks::number, *};

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

    /// Checks of each execution that its attempts are those that its tasks needed.
    pub(super) fn check_attempts(&self) {
        let tasks: Vec<_> = self.world.tasks().into_iter().map(|id| (self.world.task(&id), id)).collect();
        for item in self.items("executions").iter().filter(|item| item["status"].is_object()) {
            let id = item["execution_id"]["S"].as_str().unwrap();
            let wanted = &item["retry"]["M"];
            let (attempt, most) = (number(item, "attempt"), number(wanted, "attempts").max(1));
            let earlier = item["attempts"]["L"].as_array().map_or(&[][..], Vec::as_slice);
            let numbers: Vec<u64> = earlier.iter().map(|one| number(&one["M"], "number")).collect();
            if numbers != (1..attempt).collect::<Vec<_>>() || attempt > most {
                self.violate(format!("{id} is at attempt {attempt} of {most}, after {numbers:?}"));
            }
            let own = |number: u64| {
                let of = format!("{id}-{number}");
                tasks.iter().filter(move |(task, _)| task.started_by.as_deref() == Some(&of))
            };
            for one in earlier {
                let (number, ended) = (number(&one["M"], "number"), &one["M"]["task_id"]["S"]);
                if own(number).count() != 1 || own(number).any(|(_, task)| ended != task) {
                    self.violate(format!("attempt {number} of {id} is {one}"));
                }
            }
            if own(attempt).count() > 1 || own(attempt + 1).count() > 0 {
                self.violate(format!("{id} at attempt {attempt} has more tasks than attempts"));
            }
            let status = item["status"]["S"].as_str().unwrap();
            let on = |end: &str| wanted["on"]["L"].as_array().is_some_and(|on| on.iter().any(|one| one["S"] == end));
            let end = if item["stop_code"]["S"] == FAILED_TO_START { "start" } else { "exit" };
            let is_left_out = status == "FAILED" && on(end) && attempt < most;
            if is_left_out && !self.killed.borrow().contains(id) {
                self.violate(format!("{id} has {status} after attempt {attempt} of {most}"));
            }
        }
    }
}
