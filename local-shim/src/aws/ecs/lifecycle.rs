//! Drives the model of ECS with real containers and the machine's clock: takes tasks from their start to their end, and sends the event
//! of each state.

use std::{
    collections::{BTreeMap, HashMap},
    future::pending,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::{
    Cluster, Order, Settings, Store, Transition,
    runner::{self, Demand, Runner, TaskEnd, TaskSpec},
};
use crate::{
    aws::{AwsError, delays, events::EventPublisher, ssm::Ssm},
    blocking::blocking,
};

/// The emulated ECS.
#[derive(Clone)]
pub struct Ecs(Arc<Inner>);

struct Inner {
    cluster: Mutex<Cluster>,
    /// For each task that has not stopped, whether it is to be stopped.
    demands: Mutex<HashMap<String, watch::Sender<Demand>>>,
    runner: Runner,
    ssm: Ssm,
    events: EventPublisher,
    /// Tells whether tasks take time to start and to end: see [`delays`].
    is_slow: bool,
    ended: tokio::sync::Notify,
    /// Tells whether the program is about to end, so that no task is started any more.
    is_stopping: AtomicBool,
    /// Tells whether tasks whose containers have ended stay DEPROVISIONING.
    holds_ends: watch::Sender<bool>,
    /// The tasks of the runtime that record when an event of a task's end has been handled.
    telling: TaskTracker,
}

impl Ecs {
    /// Opens ECS with the state of an earlier run of the program, if there is one.
    pub fn open(settings: Settings, store: Store, runner: Runner, ssm: Ssm, events: EventPublisher) -> Self {
        let is_slow = settings.is_slow;
        let inner = Inner {
            cluster: Mutex::new(Cluster::new(settings, store)),
            demands: Mutex::default(),
            runner,
            ssm,
            events,
            is_slow,
            ended: tokio::sync::Notify::new(),
            is_stopping: AtomicBool::new(false),
            holds_ends: watch::Sender::new(false),
            telling: TaskTracker::new(),
        };
        Self(Arc::new(inner))
    }

    /// Answers one call.
    ///
    /// # Errors
    /// The error that ECS answers.
    pub fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, AwsError> {
        if operation == "RunTask" && self.0.is_stopping.load(Ordering::Relaxed) {
            return Err(AwsError::internal(&"the local system is about to stop"));
        }
        let answered = self.lock().call(operation, body, Timestamp::now())?;
        match answered.order {
            Some(Order::Run(spec)) => {
                let mut demands = self.demands();
                // If the system has begun to stop since the look above, it has told all tasks that it knew.
                let is_stopping = self.0.is_stopping.load(Ordering::Relaxed);
                let (sender, receiver) = watch::channel(if is_stopping { Demand::StopNow } else { Demand::Run });
                demands.insert(spec.id.clone(), sender);
                drop(demands);
                tokio::spawn(self.clone().drive(spec, receiver));
            }
            Some(Order::Stop(id)) => self.demand_stop(&id),
            None => {}
        }
        Ok(answered.body)
    }

    /// Stops the tasks that an earlier run of the program left open when it was killed, and sends the events again that may not have been
    /// handled.
    pub fn recover(&self) {
        let events = self.with_cluster(|cluster| cluster.cut_off(Timestamp::now()));
        for (id, event) in events {
            self.send_end(id, event);
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

    /// Stops all tasks and waits for their ends. A RunTask meanwhile fails, and the event that led to it is tried again at the next
    /// start: the end of a task gives its lock to the next in line, which must not be started only to be stopped.
    pub async fn stop_all(&self, reason: &str) {
        self.0.is_stopping.store(true, Ordering::Relaxed);
        for (id, demand) in self.demands().iter() {
            self.with_cluster(|cluster| cluster.want_stop(id, reason, Timestamp::now()));
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

    /// The log streams of the tasks whose ends are not known to be handled. After a start, their lines may not have been handled either.
    pub fn unfinished_log_streams(&self) -> Vec<String> {
        self.with_cluster(|cluster| cluster.open_log_streams())
    }

    /// Runs a task from its start to its end, and sends the events of its state changes.
    async fn drive(self, mut spec: TaskSpec, demand: watch::Receiver<Demand>) {
        let mut stops_now = demand.clone();
        let end = match self.add_secrets(&mut spec) {
            Err(arn) => TaskEnd {
                stop_code: "TaskFailedToStart",
                reason: format!("ResourceInitializationError: unable to pull secrets: invalid ssm parameters: {arn}"),
                exit_codes: BTreeMap::new(),
            },
            Ok(()) => {
                self.pass_through(&spec.id, [Transition::Pending, Transition::Activating]).await;
                self.advance(&spec.id, Transition::PullStarted);
                let running = || self.advance(&spec.id, Transition::Running);
                let mut run = pin!(self.0.runner.run(&spec, demand, running));
                let end = tokio::select! {
                    end = &mut run => end,
                    () = self.reclaim_spot(&spec.id) => run.await,
                };
                self.advance(&spec.id, Transition::ContainersEnded);
                end
            }
        };
        self.pass_through(&spec.id, [Transition::Stopping, Transition::Deprovisioning]).await;
        if self.0.is_slow {
            tokio::time::sleep(delays::DEPROVISIONING).await;
        }
        let mut holds_ends = self.0.holds_ends.subscribe();
        tokio::select! {
            _ = holds_ends.wait_for(|holds| !holds) => {}
            () = runner::wait_for_demand(&mut stops_now, Demand::StopNow) => {}
        }
        let stopped =
            self.with_cluster(|cluster| cluster.advance(&spec.id, Transition::Stopped(end), Timestamp::now()));
        if let Some(event) = stopped {
            self.send_end(spec.id.clone(), event);
        }
        self.demands().remove(&spec.id);
        self.0.ended.notify_waiters();
    }

    /// In a busy AWS, takes the capacity of a task on Spot back after a while: its containers get SIGTERM. Never returns for other tasks
    /// ("Amazon ECS clusters for Fargate", about Spot interruptions).
    async fn reclaim_spot(&self, id: &str) {
        let is_on_spot =
            self.with_cluster(|cluster| cluster.task(id, Timestamp::now())).is_some_and(|task| task.is_on_spot());
        if !self.0.is_slow || !is_on_spot {
            return pending().await;
        }
        tokio::time::sleep(delays::SPOT_RECLAIMED).await;
        self.advance(id, Transition::Interrupted);
        self.demand_stop(id);
    }

    /// Asks a task's containers to stop, unless they have been asked.
    fn demand_stop(&self, id: &str) {
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
    async fn pass_through(&self, id: &str, states: [Transition; 2]) {
        if !self.0.is_slow {
            return;
        }
        for state in states {
            tokio::time::sleep(delays::TASK_STATE).await;
            self.advance(id, state);
        }
        tokio::time::sleep(delays::TASK_STATE).await;
    }

    /// Adds the values of a task's secrets to the environments of its containers. An override of the same name stays.
    ///
    /// # Errors
    /// The ARN of a parameter that has no value.
    fn add_secrets(&self, spec: &mut TaskSpec) -> Result<(), String> {
        let secrets = self.with_cluster(|cluster| cluster.secrets(&spec.id, Timestamp::now()));
        for secret in secrets {
            let Some(value) = self.0.ssm.value_from(&secret.value_from) else { return Err(secret.value_from) };
            if let Some(container) = spec.containers.iter_mut().find(|container| container.name == secret.container) {
                container.environment.entry(secret.name).or_insert(value);
            }
        }
        Ok(())
    }

    /// Moves a task on and sends the event of it, if there is one.
    fn advance(&self, id: &str, step: Transition) {
        let event = self.with_cluster(|cluster| cluster.advance(id, step, Timestamp::now()));
        if let Some(event) = event {
            drop(self.0.events.send_to_event_bridge(event));
        }
    }

    /// Sends the event of a task's end. If the program ends before the event is handled, the next start sends it again.
    fn send_end(&self, id: String, event: Value) {
        let ecs = self.clone();
        let handled = self.0.events.send_to_event_bridge(event);
        self.0.telling.spawn(async move {
            if handled.await {
                ecs.with_cluster(|cluster| cluster.end_told(&id, Timestamp::now()));
            }
        });
    }

    /// Uses the model outside of a call of ECS, as [`blocking`], because its state is in SQLite.
    fn with_cluster<R>(&self, use_it: impl FnOnce(&mut Cluster) -> R) -> R {
        blocking(|| use_it(&mut self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, Cluster> {
        self.0.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn demands(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Demand>>> {
        self.0.demands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
