//! Takes tasks from their start to their end, and tells of each state.

use std::{collections::BTreeMap, future::pending, pin::pin};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Ecs,
    runner::{self, Demand, TaskEnd, TaskSpec},
    task::Task,
};
use crate::aws::delays;

impl Ecs {
    /// Stops the tasks that an earlier run of the program left in its state file when it was killed, and sends the events again that
    /// may not have been handled.
    pub fn recover(&self) {
        let now = Timestamp::now();
        let mut state = self.lock();
        let open: Vec<String> = state.open_tasks().map(|(id, _)| id.clone()).collect();
        for id in &open {
            state.change_task(id, |task| {
                if task.last_status == "STOPPED" {
                    return;
                }
                task.stop("TaskFailedToStart", "the machine that ran the task was stopped", &BTreeMap::new(), now);
                // The task had started, and how its command would have ended is unknown.
                if task.started_at.is_some() {
                    task.stop_code = Some("TerminationNotice".to_owned());
                }
            });
        }
        drop(state);
        for id in open {
            self.send_end(&id);
        }
    }

    /// Keeps tasks whose containers have ended in DEPROVISIONING, until it is called with `false` or the program ends.
    pub fn hold_ends(&self, hold: bool) {
        self.0.holds_ends.send_replace(hold);
    }

    /// The number of tasks that have not stopped.
    pub fn running(&self) -> usize {
        self.demands().len()
    }

    /// Stops all tasks and waits for their ends.
    pub async fn stop_all(&self, reason: &str) {
        for (id, demand) in self.demands().iter() {
            self.lock().change_task(id, |task| task.want_stop(reason));
            demand.send_replace(Demand::StopNow);
        }
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.running() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Waits until the events of all ends are handled, and this is noted. Those that are given up are not waited for.
    pub async fn ends_told(&self) {
        self.0.telling.close();
        self.0.telling.wait().await;
    }

    /// Runs a task from its start to its end, and sends the events of its state changes.
    pub(super) async fn drive(self, id: String, spec: TaskSpec, demand: watch::Receiver<Demand>) {
        let mut stops_now = demand.clone();
        let end = match self.missing_secret(&id) {
            Some(arn) => TaskEnd {
                stop_code: "TaskFailedToStart",
                reason: format!("ResourceInitializationError: unable to pull secrets: invalid ssm parameters: {arn}"),
                exit_codes: BTreeMap::new(),
            },
            None => {
                self.pass_through(&id, ["PENDING", "ACTIVATING"]).await;
                self.change(&id, |task| task.pull_started_at = Some(Timestamp::now()));
                let running = || {
                    self.change_and_tell(&id, |task| {
                        task.last_status = "RUNNING".to_owned();
                        let now = Timestamp::now();
                        // The runner tells no end of a pull, and containers start at once after it.
                        task.pull_stopped_at = Some(now);
                        task.started_at = Some(now);
                        for container in &mut task.containers {
                            container.last_status = "RUNNING".to_owned();
                        }
                    });
                };
                let mut run = pin!(self.0.runner.run(&spec, demand, running));
                let end = tokio::select! {
                    end = &mut run => end,
                    () = self.reclaim_spot(&id) => run.await,
                };
                self.change(&id, |task| task.execution_stopped_at = Some(Timestamp::now()));
                end
            }
        };
        self.pass_through(&id, ["STOPPING", "DEPROVISIONING"]).await;
        if self.0.is_slow {
            tokio::time::sleep(delays::DEPROVISIONING).await;
        }
        let mut holds_ends = self.0.holds_ends.subscribe();
        tokio::select! {
            _ = holds_ends.wait_for(|holds| !holds) => {}
            () = runner::wait_for_demand(&mut stops_now, Demand::StopNow) => {}
        }
        self.change(&id, |task| task.stop(end.stop_code, &end.reason, &end.exit_codes, Timestamp::now()));
        self.send_end(&id);
        self.demands().remove(&id);
        self.0.ended.notify_waiters();
    }

    /// Where AWS is difficult, takes the capacity of a task on Spot back after a while: its containers get SIGTERM. Never returns for other
    /// tasks ("Amazon ECS clusters for Fargate", about Spot interruptions).
    async fn reclaim_spot(&self, id: &str) {
        let is_on_spot = self.lock().task(id).is_some_and(|task| task.is_on_spot());
        if !self.0.is_slow || !is_on_spot {
            return pending().await;
        }
        tokio::time::sleep(delays::SPOT_RECLAIMED).await;
        self.change_and_tell(id, Task::interrupt);
        self.demand_stop(id);
    }

    /// Asks a task's containers to stop, unless they have been asked.
    pub(super) fn demand_stop(&self, id: &str) {
        if let Some(demand) = self.demands().get(id) {
            demand.send_if_modified(|demand| {
                let change = *demand == Demand::Run;
                if change {
                    *demand = Demand::Stop;
                }
                change
            });
        }
    }

    /// Lets a task be in each of these states for a while, as on Fargate.
    async fn pass_through(&self, id: &str, states: [&str; 2]) {
        if !self.0.is_slow {
            return;
        }
        for state in states {
            tokio::time::sleep(delays::TASK_STATE).await;
            self.change_and_tell(id, |task| task.last_status = state.to_owned());
        }
        tokio::time::sleep(delays::TASK_STATE).await;
    }

    fn missing_secret(&self, id: &str) -> Option<String> {
        let state = self.lock();
        let definition = state.definition(&state.task(id)?.task_definition_arn)?;
        let mut secrets = definition.container_definitions.iter().flat_map(|container| &container.secrets);
        secrets
            .find(|secret| self.0.ssm.value_from(&secret.value_from).is_none())
            .map(|secret| secret.value_from.clone())
    }

    /// The log streams of the tasks whose ends are not known to be handled. After a start, their lines may not have been handled either.
    pub fn unfinished_log_streams(&self) -> Vec<String> {
        let state = self.lock();
        let streams = state.open_tasks().flat_map(|(id, task)| {
            task.containers.iter().map(move |container| runner::log_stream(&container.name, id))
        });
        streams.collect()
    }

    /// Sends the event of a task's end. If the program ends before the event is handled, the next start sends it again.
    fn send_end(&self, id: &str) {
        let Some(event) = self.lock().task(id).map(|task| task.event()) else { return };
        let (ecs, id) = (self.clone(), id.to_owned());
        let handled = self.0.events.send_to_event_bridge(event);
        self.0.telling.spawn(async move {
            if handled.await {
                ecs.lock().change_task(&id, |task| task.end_told = true);
            }
        });
    }

    /// Changes a task and returns the event of the change.
    pub(super) fn change(&self, id: &str, change: impl FnOnce(&mut Task)) -> Option<Value> {
        self.lock().change_task(id, |task| {
            change(task);
            task.version += 1;
            task.event()
        })
    }

    /// Changes a task and sends the event of the change.
    pub(super) fn change_and_tell(&self, id: &str, change: impl FnOnce(&mut Task)) {
        if let Some(event) = self.change(id, change) {
            drop(self.0.events.send_to_event_bridge(event));
        }
    }
}
