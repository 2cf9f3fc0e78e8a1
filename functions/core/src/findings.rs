//! Collects what `reconcile` has found and mended.

use runvoy_api_types::{Issue, Severity};

use crate::Error;

/// The issues found so far.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) issues: Vec<Issue>,
    pub(crate) mended: usize,
    pub(crate) errors: usize,
}

impl Findings {
    pub(crate) fn mended(
        &mut self,
        resource_type: &'static str,
        id: &str,
        message: impl Into<String>,
        action: &'static str,
    ) {
        self.mended += 1;
        self.note(resource_type, id, Severity::Info, message, action);
    }

    pub(crate) fn note(
        &mut self,
        resource_type: &'static str,
        id: &str,
        severity: Severity,
        message: impl Into<String>,
        action: &'static str,
    ) {
        let (resource_id, message) = (id.to_owned(), message.into());
        self.issues.push(Issue {
            resource_type: resource_type.into(),
            resource_id,
            severity,
            message,
            action: action.into(),
        });
    }

    /// Records that one thing could not be checked or mended. The checks of other things go on.
    pub(crate) fn failed(&mut self, resource_type: &'static str, id: &str, error: &Error) {
        self.errors += 1;
        tracing::warn!(resource_type, resource_id = id, error = %error.chain(), "could not be reconciled");
        let action = "try again; the log of the function has the cause";
        self.note(resource_type, id, Severity::Error, "it could not be checked or mended", action);
    }
}
