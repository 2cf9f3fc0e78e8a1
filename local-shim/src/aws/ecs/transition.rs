//! Moves a task from one state to the next, with the times and the event of each ("Amazon ECS task lifecycle").

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Cluster,
    runner::{self, TaskEnd},
    task::Task,
};

/// A step in the life of a task, in the order in which Fargate makes them. A cluster that is not slow leaves some out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    Pending,
    Activating,
    /// Its images are pulled. There is no event of that.
    PullStarted,
    /// Its last container has started.
    Running,
    /// Its Spot capacity is taken back. It still runs, and its containers are asked to stop.
    Interrupted,
    /// Its containers have ended. There is no event of that.
    ContainersEnded,
    Stopping,
    Deprovisioning,
    Stopped(TaskEnd),
}

/// A secret that a container reads when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub container: String,
    /// The name of the environment variable.
    pub name: String,
    /// The ARN of the parameter that has the value.
    pub value_from: String,
}

impl Cluster {
    /// Moves a task on. Returns the event of EventBridge, if there is one of this step. A task that has stopped stays as it is.
    pub fn advance(&mut self, id: &str, step: Transition, now: Timestamp) -> Option<Value> {
        self.store
            .change_task(id, now, |task| {
                if task.last_status == "STOPPED" {
                    return None;
                }
                let is_told = !matches!(step, Transition::PullStarted | Transition::ContainersEnded);
                task.apply(step, now);
                task.version += 1;
                is_told.then(|| task.event(now))
            })
            .flatten()
    }

    /// Notes that a task is to be stopped, as StopTask does.
    pub fn want_stop(&mut self, id: &str, reason: &str, now: Timestamp) {
        self.store.change_task(id, now, |task| task.want_stop(reason, now));
    }

    /// Notes that the event of a task's end has been handled.
    pub fn end_told(&mut self, id: &str, now: Timestamp) {
        self.store.change_task(id, now, |task| task.end_told = true);
    }

    /// Ends the tasks that ran when the machine under them stopped. Returns the events of all ends that may not have been handled, by the
    /// tasks' ids.
    pub fn cut_off(&mut self, now: Timestamp) -> Vec<(String, Value)> {
        let open: Vec<String> = self.store.open_tasks().map(|(id, _)| id.clone()).collect();
        let events = open.into_iter().filter_map(|id| {
            let event = self.store.change_task(&id, now, |task| {
                task.cut_off(now);
                task.event(now)
            })?;
            Some((id, event))
        });
        events.collect()
    }

    /// A task that ECS shows.
    pub fn task(&self, id: &str, now: Timestamp) -> Option<Task> {
        self.store.task(id, now).map(Cow::into_owned)
    }

    /// The ids of the tasks whose ends are not known to be handled.
    pub fn open_tasks(&self) -> Vec<String> {
        self.store.open_tasks().map(|(id, _)| id.clone()).collect()
    }

    /// The log streams of these tasks.
    pub fn open_log_streams(&self) -> Vec<String> {
        let streams = self.store.open_tasks().flat_map(|(id, task)| {
            task.containers.iter().map(move |container| runner::log_stream(&container.name, id))
        });
        streams.collect()
    }

    /// The secrets of a task's containers, in the order of its definition.
    pub fn secrets(&self, id: &str, now: Timestamp) -> Vec<Secret> {
        let definition = self.store.task(id, now).and_then(|task| self.store.definition(&task.task_definition_arn));
        let containers = definition.map(|definition| definition.container_definitions).unwrap_or_default();
        let secrets = containers.into_iter().flat_map(|container| {
            container.secrets.into_iter().map(move |secret| Secret {
                container: container.name.clone(),
                name: secret.name,
                value_from: secret.value_from,
            })
        });
        secrets.collect()
    }
}

impl Task {
    fn apply(&mut self, step: Transition, now: Timestamp) {
        let mut passes = |state: &str| self.last_status = state.to_owned();
        match step {
            Transition::Pending => passes("PENDING"),
            Transition::Activating => passes("ACTIVATING"),
            Transition::Stopping => passes("STOPPING"),
            Transition::Deprovisioning => passes("DEPROVISIONING"),
            Transition::PullStarted => self.pull_started_at = Some(now),
            Transition::Running => {
                passes("RUNNING");
                // The runner tells no end of a pull, and containers start at once after it.
                self.pull_stopped_at = Some(now);
                self.started_at = Some(now);
                for container in &mut self.containers {
                    container.last_status = "RUNNING".to_owned();
                }
            }
            Transition::Interrupted => self.interrupt(now),
            Transition::ContainersEnded => self.execution_stopped_at = Some(now),
            Transition::Stopped(end) => self.stop(end.stop_code, &end.reason, &end.exit_codes, now),
        }
    }

    fn cut_off(&mut self, now: Timestamp) {
        if self.last_status == "STOPPED" {
            return;
        }
        self.stop("TaskFailedToStart", "the machine that ran the task was stopped", &BTreeMap::new(), now);
        // The task had started, and how its command would have ended is unknown.
        if self.started_at.is_some() {
            self.stop_code = Some("TerminationNotice".to_owned());
        }
    }
}
