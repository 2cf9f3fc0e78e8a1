//! Answers a transaction that is repeated with its client token, as DynamoDB does for ten minutes ("TransactWriteItems").
//!
//! The library does so too, but at each transaction looks at all tokens of these ten minutes, so that a transaction would take longer
//! the more there were before. It is therefore given transactions without their tokens. Here the oldest are forgotten first.

use std::{
    collections::{HashMap, VecDeque, hash_map::DefaultHasher},
    hash::Hasher,
    time::Duration,
};

/// The time that a client token is known.
const KEPT: Duration = Duration::from_mins(10);

/// The transactions of the last ten minutes that had a client token and were carried out.
#[derive(Default)]
pub(super) struct Tokens {
    answers: HashMap<String, (u64, Vec<u8>)>,
    /// The tokens in the order in which they came, with their times.
    order: VecDeque<(Duration, String)>,
}

/// Tells whether a token has come before.
pub(super) enum Known {
    No,
    /// With the same request, which got this answer.
    Same(Vec<u8>),
    WithAnotherRequest,
}

impl Tokens {
    /// Looks for a token and forgets those that are too old.
    pub(super) fn find(&mut self, token: &str, request: &[u8], now: Duration) -> Known {
        while self.order.front().is_some_and(|(at, _)| *at + KEPT <= now) {
            if let Some((_, old)) = self.order.pop_front() {
                self.answers.remove(&old);
            }
        }
        match self.answers.get(token) {
            None => Known::No,
            Some((hashed, answer)) if *hashed == hash(request) => Known::Same(answer.clone()),
            Some(_) => Known::WithAnotherRequest,
        }
    }

    /// Keeps the answer to a request with this token.
    pub(super) fn keep(&mut self, token: String, request: &[u8], answer: Vec<u8>, now: Duration) {
        self.answers.insert(token.clone(), (hash(request), answer));
        self.order.push_back((now, token));
    }
}

/// A hash of a request. A repeated request has the same bytes, because SDKs repeat what they sent.
fn hash(request: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(request);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_for_ten_minutes_and_then_forgotten() {
        let mut tokens = Tokens::default();
        let at = Duration::from_secs;
        for number in 0..100 {
            tokens.keep(format!("token-{number}"), b"request", b"answer".to_vec(), at(number));
        }
        assert!(matches!(tokens.find("token-0", b"request", at(599)), Known::Same(answer) if answer == b"answer"));
        assert!(matches!(tokens.find("token-0", b"another", at(599)), Known::WithAnotherRequest));
        assert!(matches!(tokens.find("token-0", b"request", at(600)), Known::No));
        assert!(matches!(tokens.find("token-99", b"request", at(698)), Known::Same(_)));
        assert_eq!((tokens.answers.len(), tokens.order.len()), (1, 1), "what is too old takes no memory");
    }
}
