//! Leaves out the lines of a log that a user does not want.

use crate::{arguments::Lines, follow::Line};

/// The lines that are wanted.
pub(super) struct LineFilter(Lines);

impl LineFilter {
    pub(super) fn new(lines: Lines) -> Self {
        Self(lines)
    }

    pub(super) fn apply(&self, lines: Vec<Line>) -> Vec<Line> {
        let Lines { since, grep, .. } = &self.0;
        if since.is_none() && grep.is_none() {
            return lines;
        }
        let is_wanted = |line: &Line| {
            since.is_none_or(|since| line.timestamp >= since.as_millisecond())
                && grep.as_ref().is_none_or(|grep| grep.is_match(&line.message))
        };
        lines.into_iter().filter(is_wanted).collect()
    }
}
