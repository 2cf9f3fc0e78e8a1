//! Keeps the events that functions receive, in files that `sam local invoke -e`, `cargo lambda invoke --data-file` and
//! `POST /process` take.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use runvoy_core::redaction::redacted;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

/// Writes events to a folder, numbered in the order in which they came. Keys, tokens and values of secrets are left out.
#[derive(Clone, Debug)]
pub struct Recorder {
    folder: PathBuf,
    last: Arc<AtomicU64>,
}

impl Recorder {
    /// Goes on after the events that the folder has.
    ///
    /// # Errors
    /// The folder can be neither read nor made.
    pub fn new(folder: &Path) -> Result<Self> {
        let cannot = || format!("events cannot be recorded in {}", folder.display());
        std::fs::create_dir_all(folder).with_context(cannot)?;
        let mut last = 0;
        for entry in std::fs::read_dir(folder).with_context(cannot)? {
            let name = entry.with_context(cannot)?.file_name();
            let number =
                name.to_str().and_then(|name| name.split_once('-')).and_then(|(number, _)| number.parse().ok());
            last = last.max(number.unwrap_or(0));
        }
        Ok(Self { folder: folder.to_owned(), last: Arc::new(AtomicU64::new(last)) })
    }

    /// Writes an event. One that cannot be written is lost, and the log says so.
    pub(crate) async fn record(&self, function: &str, event: &Value) {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let path = self.folder.join(format!("{number:06}-{function}.json"));
        if let Err(error) = write(&path, &redacted(event)).await {
            tracing::warn!(path = %path.display(), %error, "an event could not be recorded");
        }
    }
}

async fn write(path: &Path, event: &Value) -> std::io::Result<()> {
    let mut file = tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await?;
    file.write_all(format!("{event:#}\n").as_bytes()).await?;
    file.flush().await
}
