//! Tells users that the server is of another version than this program.

use std::sync::Once;

use reqwest::header::HeaderMap;
use runvoy_api_types::headers;

/// Users are told once, however many requests a command sends.
static TOLD: Once = Once::new();

/// Looks at the version in the headers of an answer. An earlier server says none.
pub(super) fn compare(received: &HeaderMap) {
    let own = env!("CARGO_PKG_VERSION");
    let server = received.get(headers::VERSION).and_then(|version| version.to_str().ok());
    if let Some(server) = server.filter(|server| *server != own) {
        TOLD.call_once(|| {
            say!("runvoy: this program is {own}, the server {server}: get the server's version, if something does not work");
        });
    }
}
