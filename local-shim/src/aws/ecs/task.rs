//! Keeps the state of a task, and writes it in the form of the API and in the form of its events.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    definition::TaskDefinition,
    request::{EphemeralStorage, Overrides, Tag},
    size::Size,
};
use crate::stack::{ACCOUNT, REGION};

/// A task of a cluster.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    pub task_arn: String,
    pub(super) cluster_arn: String,
    pub(super) task_definition_arn: String,
    pub(super) group: String,
    pub(super) launch_type: String,
    pub last_status: String,
    pub desired_status: String,
    pub(super) version: u64,
    pub(super) cpu: String,
    pub(super) memory: String,
    pub(super) overrides: Overrides,
    pub containers: Vec<Container>,
    pub(super) tags: Vec<Tag>,
    pub(super) created_at: Timestamp,
    /// Absent for a task of an earlier version of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ephemeral_storage: Option<EphemeralStorage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) capacity_provider_name: Option<String>,
    #[serde(default)]
    pub(super) attributes: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pull_started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pull_stopped_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) execution_stopped_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stopping_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stopped_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// Tells whether the event of the task's end has been handled. AWS shows no such field.
    #[serde(default)]
    pub(super) end_told: bool,
    /// The client token of the RunTask request, and the hash of that request. AWS shows neither.
    #[serde(default)]
    pub(super) client_token: Option<String>,
    #[serde(default)]
    pub(super) request_hash: String,
}

/// A container of a task.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    pub(super) container_arn: String,
    pub task_arn: String,
    pub name: String,
    pub(super) image: String,
    pub last_status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

impl Task {
    pub(super) fn new(
        cluster: &str,
        id: &str,
        definition: &TaskDefinition,
        overrides: Overrides,
        tags: Vec<Tag>,
        now: Timestamp,
    ) -> Self {
        let task_arn = task_arn(cluster, id);
        let size = |key: &str| definition.rest.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            cluster_arn: format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}"),
            task_definition_arn: definition.task_definition_arn.clone(),
            group: format!("family:{}", definition.family),
            launch_type: "FARGATE".to_owned(),
            last_status: "PROVISIONING".to_owned(),
            desired_status: "RUNNING".to_owned(),
            version: 1,
            cpu: size("cpu"),
            memory: size("memory"),
            overrides,
            containers: definition
                .container_definitions
                .iter()
                .map(|container| Container {
                    container_arn: format!(
                        "arn:aws:ecs:{REGION}:{ACCOUNT}:container/{cluster}/{id}/{}",
                        container.name
                    ),
                    task_arn: task_arn.clone(),
                    name: container.name.clone(),
                    image: container.image.clone(),
                    last_status: "PENDING".to_owned(),
                    exit_code: None,
                })
                .collect(),
            tags,
            created_at: now,
            ephemeral_storage: None,
            capacity_provider_name: None,
            attributes: definition
                .rest
                .get("runtimePlatform")
                .and_then(|platform| platform["cpuArchitecture"].as_str())
                .map(|architecture| json!({"name": "ecs.cpu-architecture", "value": architecture.to_ascii_lowercase()}))
                .into_iter()
                .collect(),
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            execution_stopped_at: None,
            stopping_at: None,
            stopped_at: None,
            stop_code: None,
            stopped_reason: None,
            started_by: None,
            end_told: false,
            client_token: None,
            request_hash: String::new(),
            task_arn,
        }
    }

    /// Gives a new task its size, and the capacity provider that it runs on.
    pub(super) fn set_size(&mut self, size: &Size, provider: Option<String>) {
        (self.cpu, self.memory) = (size.cpu.clone(), size.memory.clone());
        self.ephemeral_storage = Some(EphemeralStorage { gib: size.disk });
        if provider.is_some() {
            // ECS tells no launch type of such a task.
            self.launch_type.clear();
        }
        self.capacity_provider_name = provider;
    }

    pub(super) fn want_stop(&mut self, reason: &str, now: Timestamp) {
        self.desired_status = "STOPPED".to_owned();
        self.stopping_at.get_or_insert(now);
        // The first reason is kept.
        self.stop_code.get_or_insert_with(|| "UserInitiated".to_owned());
        self.stopped_reason.get_or_insert_with(|| reason.to_owned());
    }

    pub fn is_on_spot(&self) -> bool {
        self.capacity_provider_name.as_deref() == Some("FARGATE_SPOT")
    }

    /// Marks a task whose Spot capacity is taken back. ECS tells of it while the task still runs.
    pub(super) fn interrupt(&mut self, now: Timestamp) {
        self.desired_status = "STOPPED".to_owned();
        self.stopping_at.get_or_insert(now);
        self.stop_code.get_or_insert_with(|| "SpotInterruption".to_owned());
        self.stopped_reason.get_or_insert_with(|| "Your Spot Task was interrupted.".to_owned());
    }

    pub(super) fn stop(&mut self, stop_code: &str, reason: &str, exit_codes: &BTreeMap<String, i32>, now: Timestamp) {
        self.last_status = "STOPPED".to_owned();
        self.desired_status = "STOPPED".to_owned();
        self.stopping_at.get_or_insert(now);
        self.stopped_at = Some(now);
        self.stop_code.get_or_insert_with(|| stop_code.to_owned());
        self.stopped_reason.get_or_insert_with(|| reason.to_owned());
        for container in &mut self.containers {
            container.last_status = "STOPPED".to_owned();
            container.exit_code = exit_codes.get(&container.name).copied();
        }
    }

    /// The task in the form of the API, with times in seconds since 1970.
    pub(super) fn shown(&self, with_tags: bool) -> Value {
        let mut task = json!(self);
        if let Some(task) = task.as_object_mut() {
            for (name, at) in [
                ("createdAt", Some(self.created_at)),
                ("pullStartedAt", self.pull_started_at),
                ("pullStoppedAt", self.pull_stopped_at),
                ("startedAt", self.started_at),
                ("executionStoppedAt", self.execution_stopped_at),
                ("stoppingAt", self.stopping_at),
                ("stoppedAt", self.stopped_at),
            ] {
                if let Some(at) = at {
                    task.insert(name.to_owned(), json!(at.as_millisecond() as f64 / 1000.0));
                }
            }
            remove_own_fields(task);
            if !with_tags {
                task.remove("tags");
            }
        }
        task
    }

    /// The task in the form of its events ("Amazon ECS task state change events"), with times as text and without tags.
    pub(super) fn event(&self, now: Timestamp) -> Value {
        let mut detail = json!(self);
        if let Some(detail) = detail.as_object_mut() {
            detail.remove("tags");
            remove_own_fields(detail);
            detail.insert("updatedAt".to_owned(), json!(now));
        }
        json!({
            "version": "0",
            "id": uuid::Uuid::new_v4().to_string(),
            "detail-type": "ECS Task State Change",
            "source": "aws.ecs",
            "account": ACCOUNT,
            "time": format!("{now:.0}"),
            "region": REGION,
            "resources": [self.task_arn],
            "detail": detail,
        })
    }
}

/// Removes what AWS does not show.
fn remove_own_fields(task: &mut serde_json::Map<String, Value>) {
    for name in ["endTold", "clientToken", "requestHash"] {
        task.remove(name);
    }
    if task.get("launchType").is_some_and(|name| name == "") {
        task.remove("launchType");
    }
}

pub(super) fn task_arn(cluster: &str, id: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{id}")
}
