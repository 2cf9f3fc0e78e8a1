//! Holds the API, the settings and the terminal, which every command works with, and prints the API's answers.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::{
    api::{Answer, Api, not_ours},
    arguments::{Format, Global},
    config::{self, Config},
    escape,
    failure::Result,
    output,
};

/// The API, the settings and the terminal, which every command works with.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) config: Config,
    pub(crate) api: Api,
    /// Several endpoints are configured, so a run says which one it uses.
    pub(crate) names_endpoint: bool,
}

impl Context {
    pub(super) fn load(global: Global) -> Result<Self> {
        let config = global.config()?;
        let api = Api::new(&config, global.verbose || global.debug)?;
        Ok(Self { global, config, api, names_endpoint: config::has_several_endpoints() })
    }

    pub(crate) fn is_json(&self) -> bool {
        self.global.output == Format::Json
    }

    /// Prints an answer as JSON, or calls `text` to print it for a person.
    pub(crate) fn show<T: DeserializeOwned>(&self, answer: &Answer, text: impl FnOnce(T) -> Result<()>) -> Result<()> {
        if self.is_json() { output::print_json(&answer.text) } else { text(answer.parse()?) }
    }

    /// Prints a list of all pages: the answer as it is in the JSON format, or the table that `text` makes of the entries.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        name: &str,
        text: impl FnOnce(&[T]) -> Result<()>,
    ) -> Result<()> {
        let pages = self.all(path).await?;
        let mut entries = Vec::new();
        for page in &pages {
            if let Value::Array(more) = page.json()?[name].take() {
                entries.extend(more);
            }
        }
        if !self.is_json() {
            let read: Result<Vec<T>, _> = entries.iter().map(T::deserialize).collect();
            return text(&read.map_err(|error| not_ours(&error))?);
        }
        if let [only] = pages.as_slice() {
            return output::print_json(&only.text);
        }
        let mut whole = pages[0].json()?;
        whole[name] = entries.into();
        output::print_json(&whole.to_string())
    }

    /// All pages of a list, of which there is at least one.
    pub(crate) async fn all(&self, path: &str) -> Result<Vec<Answer>> {
        let mut pages = vec![self.api.get(path).await?];
        while let Some(next) = pages.last().and_then(Answer::next_page) {
            pages.push(self.api.get(&next).await?);
        }
        Ok(pages)
    }

    /// Prints the sentence with which the API says that something is done.
    pub(crate) fn done(&self, answer: &Answer) -> Result<()> {
        let message = answer.message()?;
        self.show(answer, |_: IgnoredAny| output::print(&escape::text(&message)))
    }
}
