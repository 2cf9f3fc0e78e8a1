//! Brings the lines of an execution, each once and in order, until the execution ends, whatever the network does.
//!
//! The server sends a viewer every line in the order of its store. After a lost connection, the viewer connects again and names its last
//! line, and the server goes on after it. A line that comes twice is known by its id. The log of an execution that has ended comes in
//! pages from the API.

mod event;
mod frame;
mod order;
mod reconnect;
mod socket;
mod status;

use std::{collections::VecDeque, time::Duration};

pub(crate) use event::Event;
use jiff::Timestamp;
use reqwest::Method;
pub(crate) use runvoy_api_types::LogEvent as Line;
use runvoy_api_types::{ExecutionStatus, Logs};
pub(crate) use status::{Status, is_end};
use tokio::time::Instant;

use crate::{
    api::{Api, Repeat, RequestError, WithStatus, segment},
    backoff::Pauses,
    failure::{Failure, Result},
};

use frame::Brought;
use order::{InOrder, Seen};
use socket::Socket;

/// The pauses before another connection.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(15));
/// The pauses between two looks for the end in the record.
const RECORD_PAUSES: Pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(1));
/// The time that the server may need to send the first frame. It comes when an event of the new connection has been handled.
const FIRST_FRAME: Duration = Duration::from_secs(10);
/// The pause between two frames after which all stored lines have been sent, on a network without delay.
const QUIET: Duration = Duration::from_secs(1);
/// Round trips that a pause between two stored frames may last besides.
const ROUND_TRIPS: u32 = 3;
/// The number of connections that are tried in vain before a log is given up whose reader wants what there is: about half a minute.
const MAX_FAILED: u32 = 8;
/// The time that the record may take to show an end that the log has shown.
const RECORD_LAGS: Duration = Duration::from_secs(10);

pub(crate) struct Follower<'a> {
    api: &'a Api,
    id: String,
    /// The WebSocket's URL. It works for a day, after the execution's end too.
    url: Option<String>,
    /// The page of the log that comes next, of an execution that has ended.
    page: Option<String>,
    socket: Option<Socket>,
    last_event_id: Option<String>,
    /// The last line before a message that was too large for a frame, of the last connection that ended so.
    too_large_after: Option<Option<String>>,
    seen: Seen,
    /// Received and not returned yet.
    waiting: VecDeque<Event>,
    pauses: Pauses,
    /// The user has been told that the connection is lost.
    told: bool,
    /// The times that the server has been asked in vain since it last answered.
    failed: u32,
    /// The number of these after which the log is given up. `None` to wait for the server as long as it takes.
    max_failed: Option<u32>,
    /// Connect to the place that the endpoint names, and not to the one that the server names.
    by_endpoint: bool,
    /// A WebSocket has been opened where the last one was looked for.
    has_connected: bool,
    order: InOrder,
    /// The time of the server, or of this machine, when the log was asked for.
    begun: Timestamp,
}

impl<'a> Follower<'a> {
    /// Follows an execution from its first line on. Without a URL, asks the API for one.
    pub(crate) fn new(api: &'a Api, id: &str, websocket_url: Option<String>) -> Self {
        Self {
            api,
            id: id.to_owned(),
            url: websocket_url,
            page: None,
            socket: None,
            last_event_id: None,
            too_large_after: None,
            seen: Seen::default(),
            waiting: VecDeque::new(),
            pauses: PAUSES,
            order: InOrder::default(),
            told: false,
            failed: 0,
            max_failed: None,
            by_endpoint: false,
            has_connected: false,
            begun: Timestamp::now(),
        }
    }

    /// Gives the log up when the server does not answer, for a reader who wants what there is and no more.
    pub(crate) fn giving_up(self) -> Self {
        Self { max_failed: Some(MAX_FAILED), ..self }
    }

    /// Waits for the next event. A lost connection is taken up again, for as long as it takes. May be cancelled.
    ///
    /// # Errors
    /// The API refuses to show the log.
    pub(crate) async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(event);
            }
            self.advance(None).await?;
        }
    }

    /// Waits for the next event of those that the server has already, however long it takes to bring them. There is none when the lines
    /// that follow were printed after this began, or none follows.
    ///
    /// # Errors
    /// The API refuses to show the log.
    pub(crate) async fn next_stored(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(Some(event));
            }
            if self.has_reached_the_present() {
                return Ok(self.last_held());
            }
            let quiet = self.socket.as_ref().map(|socket| {
                let base = if socket.has_frame { QUIET } else { FIRST_FRAME };
                base + socket.round_trip * ROUND_TRIPS
            });
            if !self.advance(quiet).await? {
                return Ok(self.last_held());
            }
        }
    }

    /// Says the end once more to the next reader, after [`Event::End`].
    pub(crate) fn has_ended(&mut self) {
        self.waiting.push_back(Event::End);
    }

    /// The number of lines that were returned after a later line, because a batch of them was late.
    pub(crate) fn late(&self) -> usize {
        self.order.late()
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Does one step: connects, reads a page, or waits for a frame. Returns false when `quiet` passed without a frame.
    async fn advance(&mut self, quiet: Option<Duration>) -> Result<bool> {
        if self.page.is_some() {
            self.read_page().await?;
            return Ok(true);
        }
        let Some(socket) = &mut self.socket else {
            self.connect().await?;
            return Ok(true);
        };
        let quiet = quiet.map(|quiet| Instant::now() + quiet);
        let due = self.order.due();
        let text = match due.into_iter().chain(quiet).min() {
            None => socket.next().await,
            Some(until) => match tokio::time::timeout_at(until, socket.next()).await {
                Ok(text) => text,
                Err(_) if due == Some(until) => {
                    let lines = self.order.release_due(until);
                    self.waiting.push_back(Event::Lines(lines));
                    return Ok(true);
                }
                Err(_) => return Ok(false),
            },
        };
        let taken = match text {
            Ok(text) => self.take_frame(&text),
            Err(why) => Err(why),
        };
        if let Err(why) = taken {
            if self.socket.take().is_some_and(|socket| socket.is_frame_too_large) {
                self.avoid_large_frame();
            }
            self.failed(&why).await?;
        }
        Ok(true)
    }

    /// Tells that the last line is younger than the request for the log. The store's order is nearly that of the lines' times.
    fn has_reached_the_present(&self) -> bool {
        self.socket.as_ref().and_then(|socket| socket.last_line).is_some_and(|last| last > self.begun.as_millisecond())
    }

    /// Reads a page of the log. An execution that has not ended has a WebSocket's URL in its place.
    async fn read_page(&mut self) -> Result<()> {
        let Some(path) = &self.page else { return Ok(()) };
        let answer = match self.api.send(Method::GET, path, None, &[], Repeat::Safe).await {
            Ok(answer) => answer,
            Err(RequestError::Refused { failure, .. }) => return Err(failure),
            // The request was sent several times already.
            Err(RequestError::Unreachable { failure, .. }) if self.max_failed.is_some() => return Err(failure),
            Err(RequestError::Unreachable { failure, .. }) => return self.failed(failure.what()).await,
        };
        if let Some(date) = answer.date().filter(|_| self.last_event_id.is_none()) {
            self.begun = date;
        }
        let logs: Logs = answer.parse()?;
        if let Some(url) = logs.websocket_url {
            let are_asked_for = path.contains("?after=");
            (self.url, self.page) = (Some(url), None);
            if are_asked_for {
                self.take(logs.events.unwrap_or_default());
            }
            return Ok(());
        }
        self.heard();
        // The execution has ended: the answer is the log, or a page of it.
        let mut lines = logs.events.unwrap_or_default();
        self.page = answer.next_page();
        if self.page.is_some() {
            // The last event of such a page is a note for clients that read no `Link` header.
            lines.pop();
        }
        self.take(lines);
        if self.page.is_none() {
            let held = self.last_held();
            self.waiting.extend(held);
            self.waiting.push_back(Event::End);
        }
        Ok(())
    }

    fn take(&mut self, lines: Vec<Line>) {
        let lines: Vec<Line> = lines.into_iter().filter(|line| self.seen.is_new(&line.event_id)).collect();
        if let Some(last) = lines.last() {
            self.last_event_id = Some(last.event_id.clone());
            if let Some(socket) = &mut self.socket {
                socket.last_line = Some(last.timestamp);
            }
            let through = self.order.take(lines, Instant::now());
            if !through.is_empty() {
                self.waiting.push_back(Event::Lines(through));
            }
        }
    }

    /// The lines that are held back, if there are any.
    fn last_held(&mut self) -> Option<Event> {
        let lines = self.order.release_all();
        (!lines.is_empty()).then_some(Event::Lines(lines))
    }

    /// Takes in a frame. The error says why the connection is of no use any more.
    fn take_frame(&mut self, text: &str) -> Result<(), String> {
        let brought = frame::read(text)?;
        self.heard();
        match brought {
            Brought::Lines(lines) => self.take(lines),
            Brought::Events(events) => {
                if events.iter().any(|event| matches!(event, Event::End)) {
                    let held = self.last_held();
                    self.waiting.extend(held);
                }
                self.waiting.extend(events);
            }
            Brought::Nothing => return Ok(()),
        }
        if let Some(socket) = &mut self.socket {
            socket.has_frame = true;
        }
        Ok(())
    }

    /// The end of the execution, after [`Event::End`].
    ///
    /// # Errors
    /// The API fails, or does not know of the end soon.
    pub(crate) async fn final_status(&self) -> Result<Status> {
        let path = format!("/executions/{}/status", segment(&self.id));
        let until = Instant::now() + RECORD_LAGS;
        let mut pauses = RECORD_PAUSES;
        loop {
            let status: WithStatus<ExecutionStatus> = self.api.get(&path).await?.parse()?;
            if let Some(ended) = Status::from(status).ended() {
                return Ok(ended);
            }
            if Instant::now() > until {
                return Err(Failure::new("the log has ended, and the execution has not")
                    .remedy(format!("look at `runvoy status {}`", self.id)));
            }
            pauses.wait().await;
        }
    }
}
