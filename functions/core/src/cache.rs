//! Remembers what never changes, so that a warm function reads it once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The largest number of entries that a function remembers: about 1 MB of ids. A full cache is emptied.
const MAX_ENTRIES: usize = 5000;

/// Values by text, shared by all clones.
#[derive(Debug)]
pub(crate) struct Cache<T>(Arc<Mutex<HashMap<String, T>>>);

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Cache<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Cache<T> {
    pub(crate) fn get(&self, key: &str) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn insert(&self, key: &str, value: &T) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_ENTRIES {
            entries.clear();
        }
        entries.insert(key.to_owned(), value.clone());
    }
}
