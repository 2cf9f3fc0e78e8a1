//! Collects what is wrong with the cases of a table, so that one run of a test shows every failure.

use std::fmt::{Debug, Display};

#[derive(Default)]
pub struct Cases {
    wrong: Vec<String>,
}

impl Cases {
    pub fn equal<T: PartialEq<E> + Debug, E: Debug>(&mut self, case: impl Display, actual: T, expected: E) {
        if actual != expected {
            self.wrong.push(format!("{case}: {actual:?}, not {expected:?}"));
        }
    }

    pub fn contain(&mut self, case: impl Display, text: &str, part: &str) {
        if !text.contains(part) {
            self.wrong.push(format!("{case}: {part:?} is not in {text}"));
        }
    }

    pub fn all_hold(self) {
        assert!(self.wrong.is_empty(), "{} cases fail:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}
