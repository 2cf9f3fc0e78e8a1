//! Plays viewers: they connect, read slowly, leave, and connect again.

use super::*;

/// One viewer, which may leave and connect again.
pub(super) struct Chain {
    pub(super) execution: String,
    pub(super) wants_status: bool,
    pub(super) sessions: Vec<String>,
    pub(super) opened: Vec<u64>,
    /// Tells whether it stayed connected until the server closed the connection.
    pub(super) stayed: bool,
}

impl Simulation {
    /// A viewer that connects, disconnects, and sometimes connects again.
    pub(super) async fn viewer(self: &Rc<Self>, execution: String, token: String) {
        let world = &self.world;
        if self.calm {
            world.wait(BEAT * world.between(0, 10)).await;
            self.next_beat().await;
            world.wait(world.between(0, 100)).await;
        } else {
            world.wait(world.between(0, 14_000)).await;
        }
        let (batch, wants_status) = (world.chance(500), world.chance(300));
        let slowness = if !self.calm && world.chance(150) { 4000 } else { 5 };
        let mut chain = Chain {
            execution: execution.clone(),
            wants_status,
            sessions: Vec::new(),
            opened: Vec::new(),
            stayed: false,
        };
        let mut last_event_id: Option<String> = None;
        let mut tries = 0;
        while tries < 12 {
            tries += 1;
            let connection = format!("connection-{}", world.between(0, u64::MAX - 1));
            let mut parameters = json!({"execution_id": execution, "token": token, "batch": batch.to_string(), "status": wants_status.to_string()});
            if let Some(last) = &last_event_id {
                parameters["last_event_id"] = json!(last);
            }
            let event = websocket("$connect", &connection, parameters);
            // Only the time part of the id: the rest differs from run to run.
            let after = last_event_id.as_ref().map_or("the beginning", |id| &id[..13]);
            world.tell(|| format!("{connection} asks to watch {execution} after {after}"));
            let answer = match self.handle(event, true).await {
                Some(Ok(answer)) => answer,
                failed => {
                    world.tell(|| format!("{connection} was not let in: {failed:?}"));
                    world.wait(1000).await;
                    continue;
                }
            };
            if answer["statusCode"] != 200 {
                self.violate(format!("a viewer was refused: {answer}"));
                break;
            }
            let now = world.clock().millis();
            let stuck = !self.calm && world.chance(150);
            let full = stuck.then(|| now + world.between(0, 5000)).map(|from| (from, from + world.between(0, 30_000)));
            world.state().sockets.insert(connection.clone(), Socket { slowness, full, ..Socket::default() });
            world.wait(world.between(0, 40)).await;
            world.state().sockets.get_mut(&connection).unwrap().open = true;
            chain.sessions.push(connection.clone());
            chain.opened.push(world.clock().millis());
            let leaves = if !self.calm && world.chance(250) {
                Some(world.clock().millis() + world.between(0, 8000))
            } else {
                None
            };
            let stayed = loop {
                if world.state().sockets[&connection].closed {
                    break true;
                }
                let now = world.clock().millis();
                if leaves.is_some_and(|at| now >= at) || now > chain.opened[0] + 2 * 3_600_000 {
                    break false;
                }
                // The checks are frequent while lines arrive, and rare while nothing happens.
                world.wait(50.max((now - chain.opened[0]) / 20)).await;
            };
            if stayed {
                let last_line = {
                    let state = world.state();
                    let frames = &state.sockets[&connection].frames;
                    let is_sent_off = frames.last().is_some_and(|(_, frame)| frame["type"] == "disconnect");
                    if is_sent_off { None } else { Some(lines(frames).last().map(|(_, id)| id.clone())) }
                };
                let Some(last_line) = last_line else {
                    chain.stayed = true;
                    break;
                };
                if full.is_none() {
                    self.violate(format!("{connection} reads, and was closed before the end"));
                }
                world.tell(|| format!("{connection} did not read, and was closed"));
                last_event_id = last_line.or(last_event_id);
                continue;
            }
            if leaves.is_none() {
                self.violate(format!("a viewer of {execution} waits for its end for ever"));
                break;
            }
            world.tell(|| format!("{connection} leaves"));
            let last = {
                let mut state = world.state();
                let socket = state.sockets.get_mut(&connection).unwrap();
                socket.open = false;
                lines(&socket.frames).last().map(|(_, id)| id.clone())
            };
            if world.chance(700) {
                let event = websocket("$disconnect", &connection, Value::Null);
                self.deliver(format!("the end of {connection}"), event, world.between(0, 2000));
            }
            if world.chance(300) {
                break;
            }
            last_event_id = last.or(last_event_id);
            world.wait(world.between(0, 5000)).await;
        }
        self.seen.borrow_mut().push(chain);
    }

    /// Connects a viewer that stays.
    pub(super) async fn watch(&self, execution: &str, token: &str) {
        self.watch_as(&format!("connection-of-{execution}"), execution, token).await;
    }

    pub(super) async fn watch_as(&self, connection: &str, execution: &str, token: &str) {
        let connection = connection.to_owned();
        let parameters = json!({"execution_id": execution, "token": token});
        self.handle(websocket("$connect", &connection, parameters), false).await.unwrap().unwrap();
        self.world.state().sockets.insert(connection.clone(), Socket { open: true, ..Socket::default() });
        self.seen.borrow_mut().push(Chain {
            execution: execution.to_owned(),
            wants_status: false,
            sessions: vec![connection],
            opened: vec![self.world.clock().millis()],
            stayed: false,
        });
    }
}

/// The ids of the lines in the frames, with the time of each.
pub(super) fn lines(frames: &[(u64, Value)]) -> Vec<(u64, String)> {
    let id = |event: &Value| event["event_id"].as_str().unwrap().to_owned();
    frames
        .iter()
        .flat_map(|(at, frame)| match frame["type"].as_str() {
            Some("logs") => frame["events"].as_array().unwrap().iter().map(|event| (*at, id(event))).collect(),
            Some(_) => Vec::new(),
            None => vec![(*at, id(frame))],
        })
        .collect()
}
