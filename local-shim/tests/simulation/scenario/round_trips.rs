//! Counts the calls in a row that each kind of request waits for.

use super::*;

/// The milliseconds of a call of AWS, when nothing else takes time: see [`round_trips`].
pub const CALL: u64 = 10;

/// The milliseconds that each kind of request takes.
pub fn round_trips() -> BTreeMap<&'static str, u64> {
    let taken = Rc::new(RefCell::new(BTreeMap::new()));
    let told = taken.clone();
    let set_up = |simulation: &mut Simulation| (simulation.calm, simulation.prompt) = (true, false);
    let outcome = play(0, None, set_up, move |simulation| simulation.requests(told));
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
    taken.take()
}

impl Simulation {
    /// Sends a request of each kind, and notes how long it takes.
    pub(super) async fn requests(self: Rc<Self>, taken: Rc<RefCell<BTreeMap<&'static str, u64>>>) {
        self.prepare().await;
        self.clone().follow_stream();
        let secret = json!({"name": "s", "key_name": "S", "value": "v"});
        assert_eq!(self.request("POST", "/secrets", &[], secret, false).await.unwrap().0, 201);
        let (_, started, _) = self.request("POST", "/run", &[], json!({"command": "c"}), false).await.unwrap();
        let id = started["execution_id"].as_str().unwrap().to_owned();
        self.clone().begin_lives();
        self.rest(|simulation| simulation.busy.get()).await;
        // The first reader completes the log.
        let logs = format!("/executions/{id}/logs");
        assert!(self.request("GET", &logs, &[], Value::Null, false).await.unwrap().1["events"].is_array());
        self.world.state().latency = Some(CALL);
        let status = format!("/executions/{id}/status");
        let run = json!({"command": "c"});
        let with_secrets = json!({"command": "c", "secrets": ["s"]});
        // The first request of a minute also writes when the key was used.
        for (name, method, path, body) in [
            ("first", "GET", "/me", &Value::Null),
            ("health", "GET", "/health", &Value::Null),
            ("status", "GET", &status, &Value::Null),
            ("list", "GET", "/executions", &Value::Null),
            ("logs", "GET", &logs, &Value::Null),
            ("me", "GET", "/me", &Value::Null),
            ("run", "POST", "/run", &run),
            ("first run with secrets", "POST", "/run", &with_secrets),
            ("run with secrets", "POST", "/run", &with_secrets),
        ] {
            let before = self.world.clock().millis();
            let (status, body, _) = self.request(method, path, &[], body.clone(), false).await.unwrap();
            assert!((200..300).contains(&status), "{name}: {status} {body}");
            taken.borrow_mut().insert(name, self.world.clock().millis() - before);
        }
    }
}
