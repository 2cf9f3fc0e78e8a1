//! Checks what must hold at the end of a seed.

use local_shim::aws::ecs::Task;

use super::*;

/// The status and the exit code of an execution that ends with this task.
pub(super) fn end_of(task: &Task) -> (&'static str, i32) {
    let exit_code = task.containers.iter().find(|container| container.name == "runner").unwrap().exit_code;
    match (task.stop_code.as_deref().unwrap(), exit_code) {
        ("UserInitiated", _) => ("STOPPED", 130),
        (SPOT_INTERRUPTION, _) => ("FAILED", 1),
        (_, Some(0)) => ("SUCCEEDED", 0),
        (_, code) => ("FAILED", code.unwrap_or(1)),
    }
}

impl Simulation {
    pub(super) async fn check(&self) {
        let ids = self.world.tasks();
        for id in &ids {
            self.check_execution(id).await;
        }
        let listed = self.request("GET", "/executions?limit=0", &[], Value::Null, false).await;
        let count = listed.and_then(|(_, body, _)| body.as_array().map(Vec::len)).unwrap_or_default();
        if count != ids.len() {
            self.violate(format!("{count} executions for {} tasks", ids.len()));
        }
    }

    pub(super) async fn check_execution(&self, id: &str) {
        let task = self.world.task(id);
        let expected = end_of(&task);
        let status = self.request("GET", &format!("/executions/{id}/status"), &[], Value::Null, false).await;
        let status = status.map(|(_, body, _)| body).unwrap_or_default();
        if (status["status"].as_str(), status["exit_code"].as_i64()) != (Some(expected.0), Some(expected.1.into())) {
            self.violate(format!("{id} ended as {status}, not as {expected:?}"));
            return;
        }
        // The whole log is stored, in order, each line once.
        let printed = self.printed(id);
        let read = self.read_log(id).await;
        // The log of a task that did not start says why, in a line that no container printed.
        let told = usize::from(task.stop_code.as_deref() == Some(FAILED_TO_START));
        if read.len() != printed.len() + told || !read.starts_with(&printed) {
            self.violate(format!("{id} printed {} lines, and its log has {}", printed.len(), read.len()));
        }
        // Every viewer has the order of the store.
        let mut order = Vec::new();
        let execution: ExecutionId = id.parse().unwrap();
        let mut sequence = 0;
        loop {
            let batches = store::after(&self.app, &execution, sequence).await.unwrap();
            let Some(last) = batches.last() else { break };
            sequence = last.sequence;
            order.extend(batches.into_iter().flat_map(|batch| batch.events).map(|event| event.event_id));
        }
        for chain in self.seen.borrow().iter().filter(|chain| chain.execution == id) {
            self.check_viewer(chain, &order);
        }
    }

    /// The ids of the lines of an execution's log as the API shows it.
    pub(super) async fn read_log(&self, id: &str) -> Vec<String> {
        let mut read = Vec::new();
        let mut path = Some(format!("/executions/{id}/logs"));
        while let Some(page) = path.take() {
            let answer = self.request("GET", &page, &[], Value::Null, false).await;
            let Some((200, body, link)) = answer else {
                self.violate(format!("the log of {id} cannot be read: {answer:?}"));
                break;
            };
            let events = body["events"].as_array().cloned().unwrap_or_default();
            read.extend(events.iter().map(|event| event["event_id"].as_str().unwrap().to_owned()));
            path = link.map(|link| link.split(['<', '>']).nth(1).unwrap().trim_start_matches("/api/v1").to_owned());
        }
        read
    }

    /// The ids of all lines of a task, in order.
    pub(super) fn printed(&self, id: &str) -> Vec<String> {
        let body = json!({"logGroupName": self.app.config.log_group, "logStreamNames": [format!("task/runner/{id}")]});
        // A task that did not start has no stream.
        let Ok(answer) = self.world.logs().call("FilterLogEvents", body.to_string().as_bytes(), Shown::ALL) else {
            return Vec::new();
        };
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let events = answer["events"].as_array().unwrap();
        events.iter().map(|event| event["eventId"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn check_viewer(&self, chain: &Chain, order: &[String]) {
        let state = self.world.state();
        let who = format!("viewer {:?} of {}", chain.sessions, chain.execution);
        let mut received: Vec<(u64, String)> = Vec::new();
        for session in &chain.sessions {
            let frames = &state.sockets[session].frames;
            let ends = frames.iter().filter(|(_, frame)| frame["type"] == "disconnect").count();
            let ends_last = frames.last().is_some_and(|(_, frame)| frame["type"] == "disconnect");
            if ends > 0 && !ends_last {
                self.violate(format!("{who} was sent something after its last frame"));
            }
            // An invocation that ends between its last frame and the update of the viewer's position makes the next one send
            // that frame again.
            if ends > 1 && !state.repeats_allowed {
                self.violate(format!("{who} was sent off {ends} times"));
            }
            if !chain.wants_status && frames.iter().any(|(_, frame)| frame["type"] == "status") {
                self.violate(format!("{who} was told a status and did not ask"));
            }
            received.extend(lines(frames));
        }
        let mut first = BTreeSet::new();
        let mut once: Vec<&String> = Vec::new();
        for (_, id) in &received {
            if first.insert(id) {
                once.push(id);
            } else if !state.repeats_allowed {
                self.violate(format!("{who} was sent the line {id} twice"));
            }
        }
        // A viewer that left has a beginning of the log. A viewer that stayed has all of it.
        let expected: Vec<&String> = order.iter().take(if chain.stayed { order.len() } else { once.len() }).collect();
        if once != expected {
            let at = once.iter().zip(&expected).take_while(|(a, b)| a == b).count();
            self.violate(format!("{who} has {} lines of {}, wrong from line {at} on", once.len(), order.len()));
        }
        let statuses: Vec<&str> = chain
            .sessions
            .iter()
            .flat_map(|session| &state.sockets[session].frames)
            .filter_map(|(_, frame)| frame["status"].as_str())
            .collect();
        let rank =
            |status: &str| ["STARTING", "RUNNING", "TERMINATING"].iter().position(|one| *one == status).unwrap_or(3);
        if chain.stayed && chain.wants_status && statuses.last().is_none_or(|last| rank(last) < 3) {
            self.violate(format!("{who} was not told the end: {statuses:?}"));
        }
        for session in &chain.sessions {
            let told: Vec<&str> =
                state.sockets[session].frames.iter().filter_map(|(_, frame)| frame["status"].as_str()).collect();
            if !told.is_sorted_by_key(|status| rank(status)) {
                self.violate(format!("{who} was told {told:?}"));
            }
        }
        if self.prompt {
            for (place, (at, id)) in received.iter().enumerate() {
                let known = self.delivered.borrow().get(id).copied().unwrap_or(u64::MAX).max(chain.opened[0]);
                let ahead = received[..place].iter().filter(|(sent, _)| *sent >= known).count() as u64;
                // The bound allows a few seconds for slow calls, and for each earlier line what its frame may take on the
                // socket: 35 ms.
                if *at > known.saturating_add(4000 + 35 * ahead) {
                    self.violate(format!("{who} waited {} ms for the line {id}", at - known));
                }
            }
        }
    }
}
