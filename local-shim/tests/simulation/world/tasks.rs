//! Answers the calls of ECS by its model, whose tasks the scenario moves on, and refuses some starts for lack of room.

use std::sync::MutexGuard;

use jiff::Timestamp;
use local_shim::aws::{
    Answer,
    ecs::{Cluster, Order, Task, Transition},
    faults::{Fault, Reply},
};
use serde_json::Value;

use super::{World, json_answer};

/// A call of RunTask, until it is answered or given up.
pub(super) struct Start {
    world: World,
    token: String,
    invocation: usize,
}

impl Drop for Start {
    fn drop(&mut self) {
        self.world.state().starting.retain(|(token, by)| (token, *by) != (&self.token, self.invocation));
    }
}

impl World {
    /// Notes that an invocation calls RunTask, and whether another does the same at this moment.
    pub(super) fn begin_start(&self, invocation: usize, request: &[u8]) -> Start {
        let token = token_of(request);
        let mut state = self.state();
        if let Some((_, other)) = state.starting.iter().find(|(other, by)| *other == token && *by != invocation) {
            let double = format!("invocation {invocation} starts {token} while invocation {other} does");
            state.double_starts.push(double);
        }
        state.starting.push((token.clone(), invocation));
        Start { world: self.clone(), token, invocation }
    }

    pub(super) fn ecs(&self, operation: &str, request: &[u8]) -> Answer {
        let token = (operation == "RunTask").then(|| token_of(request));
        if let Some(refused) = token.as_ref().and_then(|token| self.refuse_start(token)) {
            return refused;
        }
        let answered = match self.cluster().call(operation, request, self.now()) {
            Ok(answered) => answered,
            Err(error) => return error.into_answer(),
        };
        // A script reads of a task that it is to stop.
        if let Some(Order::Run(spec)) = answered.order {
            let mut state = self.state();
            state.specs.insert(spec.id.clone(), spec);
            state.tokens.extend(token);
        }
        json_answer(answered.body)
    }

    /// The refusal of a start for which there is no room. A call that is repeated gets the task that it has started.
    fn refuse_start(&self, token: &str) -> Option<Answer> {
        let mut state = self.state();
        if state.no_room == 0 || state.tokens.contains(token) || !state.random.chance(400) {
            return None;
        }
        state.no_room -= 1;
        let fault = if state.random.chance(500) { Fault::NoCapacity } else { Fault::NoVcpus };
        drop(state);
        self.tell(|| format!("{fault:?} for {token}"));
        match fault.reply("ecs", "RunTask") {
            Reply::Answer(answer) => Some(answer),
            Reply::Never | Reply::CallerDies => None,
        }
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.0.cluster.lock().unwrap()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.clock.millis() as i64).unwrap()
    }

    /// The ids of all tasks that were started.
    pub fn tasks(&self) -> Vec<String> {
        self.state().specs.keys().cloned().collect()
    }

    /// A task as ECS knows it now.
    pub fn task(&self, id: &str) -> Task {
        self.cluster().task(id, self.now()).unwrap()
    }

    /// The value that a task's runner has in a variable.
    pub fn variable(&self, task: &str, name: &str) -> String {
        let state = self.state();
        state.specs[task].containers.iter().find_map(|container| container.environment.get(name)).unwrap().clone()
    }

    /// Moves a task on, and returns the event of it.
    pub fn advance(&self, task: &str, step: Transition) -> Option<Value> {
        let now = self.now();
        self.cluster().advance(task, step, now)
    }
}

/// The client token of a call of RunTask.
fn token_of(request: &[u8]) -> String {
    let request: Value = serde_json::from_slice(request).unwrap();
    request["clientToken"].as_str().unwrap().to_owned()
}
