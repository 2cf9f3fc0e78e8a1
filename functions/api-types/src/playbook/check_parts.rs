//! Checks the notifications and the schedules that a playbook brings along.

use std::collections::BTreeSet;

use super::Playbook;
use crate::{NotificationEvent, PlaybookName, Problem, ScheduleName};

/// Notifications and schedules of a playbook.
const MAX_PARTS: usize = 20;

impl Playbook {
    /// The names of the schedules of this playbook, in their order.
    ///
    /// # Errors
    /// A name that no schedule can have, or that two have, with its field.
    pub fn schedule_names(&self, name: &PlaybookName) -> Result<Vec<ScheduleName>, Problem> {
        let mut names = Vec::new();
        for (at, schedule) in self.schedules.iter().enumerate() {
            let given = schedule.name.as_deref().filter(|given| !given.is_empty());
            let wanted = match (given, at) {
                (Some(given), _) => given.to_owned(),
                (None, 0) => name.to_string(),
                (None, _) => format!("{name}-{}", at + 1),
            };
            let field = |problem: Problem| Problem { field: Some(format!("schedules[{at}].name")), ..problem };
            let parsed = wanted.parse::<ScheduleName>().map_err(field)?;
            if names.contains(&parsed) {
                return Err(field(Problem::new(format!("two schedules have the name {parsed}"))));
            }
            names.push(parsed);
        }
        Ok(names)
    }

    /// Checks the notifications and the schedules as far as the playbook says itself whether they can be.
    pub(super) fn check_parts(&self) -> Result<(), Problem> {
        for (field, count) in [("notifications", self.notifications.len()), ("schedules", self.schedules.len())] {
            if count > MAX_PARTS {
                return Err(Problem::new(format!("a playbook has at most {MAX_PARTS} {field}")).at_field(field));
            }
        }
        let mut names = BTreeSet::new();
        for (at, told) in self.notifications.iter().enumerate() {
            if !names.insert(told.name.as_str()) {
                let problem = format!("the notification {} is named twice", told.name);
                return Err(Problem::new(problem).at_field(format!("notifications[{at}].name")));
            }
            if told.on.contains(&NotificationEvent::Test) {
                let problem = "\"test\" is no event of an execution";
                return Err(Problem::new(problem).at_field(format!("notifications[{at}].on")));
            }
        }
        for (at, schedule) in self.schedules.iter().enumerate() {
            self.variables(&schedule.parameters).map_err(|problem| {
                let field = problem.field.clone().unwrap_or_else(|| "parameters".to_owned());
                Problem { field: Some(format!("schedules[{at}].{field}")), ..problem }
            })?;
        }
        Ok(())
    }
}
