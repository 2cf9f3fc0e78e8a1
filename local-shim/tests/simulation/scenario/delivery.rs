//! Delivers events to the functions: late, twice, in another order or not at all, and again when they fail.

use super::*;

impl Simulation {
    /// Delivers an event as Lambda delivers an asynchronous one: up to three times. The last attempt has no fault.
    pub(super) fn deliver(self: &Rc<Self>, what: String, event: Value, delay: u64) {
        let simulation = self.clone();
        self.work(async move {
            simulation.world.wait(delay).await;
            for pause in [60_000, 120_000, 0] {
                simulation.world.tell(|| format!("{what} is delivered"));
                match simulation.handle(event.clone(), pause > 0).await {
                    Some(Ok(_)) => return,
                    Some(Err(error)) => simulation.world.tell(|| format!("{what} failed: {error}")),
                    None => simulation.world.tell(|| format!("{what}: its handler died")),
                }
                simulation.world.wait(pause).await;
            }
            simulation.violate(format!("{what} failed for the last time"));
        });
    }

    /// Runs the event processor once. `None` if it was killed or reached its time limit.
    pub(super) async fn handle(&self, event: Value, fragile: bool) -> Option<Result<Value, String>> {
        // Lambda keeps events that it cannot handle yet, and tries them again.
        while self.running.get() >= self.concurrency {
            self.world.wait(self.world.between(20, 500)).await;
        }
        self.running.set(self.running.get() + 1);
        let handled = self.handle_now(event, fragile).await;
        self.running.set(self.running.get() - 1);
        handled
    }

    pub(super) async fn handle_now(&self, event: Value, fragile: bool) -> Option<Result<Value, String>> {
        let app = self.app.clone();
        let mut context = Context::default();
        context.request_id = format!("invocation-{}", self.world.between(0, u64::MAX - 1));
        let code = async move {
            event_processor::handle(&app, LambdaEvent::new(event, context)).await.map_err(|error| error.to_string())
        };
        futures_util::select_biased! {
            handled = self.world.invoke(fragile, code).fuse() => handled,
            () = self.world.wait(120_000).boxed_local().fuse() => {
                // The time limit of the function ends the invocation, for instance during frames to a viewer that takes seconds
                // for each.
                self.world.state().repeats_allowed = true;
                None
            }
        }
    }

    /// The delays of the deliveries of one event: one entry for each delivery.
    pub(super) fn deliveries(&self, lost_of_thousand: u64) -> Vec<u64> {
        if self.calm {
            return vec![self.world.between(0, 100)];
        }
        if self.world.chance(lost_of_thousand) {
            return Vec::new();
        }
        let late = if self.world.chance(200) { 30_000 } else { 1500 };
        let copies = if self.world.chance(300) { self.world.between(2, 3) } else { 1 };
        (0..copies).map(|_| self.world.between(0, late)).collect()
    }

    pub(super) fn tell_task(self: &Rc<Self>, id: &str, status: &str, event: &Value) {
        for delay in self.deliveries(self.lost_events) {
            self.deliver(format!("{status} of {id}"), event.clone(), delay);
        }
    }

    /// Delivers new and handed-over connections, as the stream of the connections table does.
    pub(super) fn follow_stream(self: Rc<Self>) {
        for (table, mapping) in self.mappings.clone() {
            let mut stream = self.world.dynamodb().follow(&table).unwrap();
            let simulation = self.clone();
            let following = async move {
                loop {
                    for record in stream.next(100).await.unwrap() {
                        if !mapping.wants(&record) {
                            continue;
                        }
                        for delay in simulation.deliveries(0) {
                            simulation.clone().deliver_record(record.clone(), delay);
                        }
                    }
                }
            };
            self.spawner.spawn_local(following).unwrap();
        }
    }

    /// Lambda retries a record of a stream until the function succeeds.
    pub(super) fn deliver_record(self: Rc<Self>, record: Value, delay: u64) {
        let simulation = self.clone();
        self.work(async move {
            simulation.world.wait(delay).await;
            for attempt in 1..=10 {
                let handled = simulation.handle(json!({"Records": [record]}), attempt < 5).await;
                if let Some(Ok(answer)) = &handled
                    && answer["batchItemFailures"].as_array().is_some_and(Vec::is_empty)
                {
                    return;
                }
                let how = match handled {
                    Some(Ok(_)) => "it is to be delivered again".to_owned(),
                    Some(Err(error)) => error,
                    None => "its handler died".to_owned(),
                };
                simulation.world.tell(|| format!("a viewer was not served: {how}"));
                simulation.world.wait(500 * attempt).await;
            }
            simulation.violate("a viewer's record was given up".to_owned());
        });
    }
}
