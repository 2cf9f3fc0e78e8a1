//! The state of ECS that outlives the process: a file for the task definitions, and one for each task, so that a change costs the
//! same however many tasks have ended.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{definition::TaskDefinition, task::Task};
use crate::aws::state_file::{StateFile, replace_unsynced};

/// Revisions by family. The first of a family is revision 1.
pub(super) type Definitions = BTreeMap<String, Vec<TaskDefinition>>;

/// The files of the state. Without a directory, the state ends with the process.
pub struct Store {
    definitions: StateFile,
    tasks: Option<PathBuf>,
}

impl Store {
    /// The files in this directory, which are created as needed.
    ///
    /// # Errors
    /// The folder of the tasks cannot be created.
    pub fn open(directory: Option<&Path>) -> Result<Self> {
        let tasks = directory.map(|directory| directory.join("tasks"));
        if let Some(tasks) = &tasks {
            std::fs::create_dir_all(tasks).with_context(|| format!("{} cannot be created", tasks.display()))?;
        }
        Ok(Self { definitions: StateFile::new(directory, "task-definitions.json"), tasks })
    }

    pub(super) fn read_definitions(&self) -> Result<Definitions> {
        self.definitions.read()
    }

    /// Reads all tasks, by their ids.
    pub(super) fn read_tasks(&self) -> Result<BTreeMap<String, Task>> {
        let mut tasks = BTreeMap::new();
        let Some(directory) = &self.tasks else { return Ok(tasks) };
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            // A file with another ending was left by a write that a crash interrupted.
            let (Some(id), Some("json")) = (
                path.file_stem().and_then(|stem| stem.to_str()),
                path.extension().and_then(|extension| extension.to_str()),
            ) else {
                continue;
            };
            let task = serde_json::from_slice(&std::fs::read(&path)?)
                .with_context(|| format!("{} cannot be read; remove it to forget the task", path.display()))?;
            tasks.insert(id.to_owned(), task);
        }
        Ok(tasks)
    }

    pub(super) fn write_definitions(&self, definitions: &Definitions) {
        if let Err(error) = self.definitions.write(definitions) {
            tracing::error!(error = format!("{error:#}"), "the task definitions were not saved");
        }
    }

    /// Writes a task. The file is not synced, because a task that a loss of power makes the program forget has ended with it.
    pub(super) fn write_task(&self, id: &str, task: &Task) {
        let Some(directory) = &self.tasks else { return };
        let path = directory.join(format!("{id}.json"));
        let written = serde_json::to_vec(task).map_err(Into::into).and_then(|task| replace_unsynced(&path, &task));
        if let Err(error) = written {
            tracing::error!(error = format!("{error:#}"), task = id, "the state of a task was not saved");
        }
    }

    pub(super) fn remove_task(&self, id: &str) {
        if let Some(directory) = &self.tasks {
            let _ = std::fs::remove_file(directory.join(format!("{id}.json")));
        }
    }
}
