//! Plants faults, which the simulation must find. The handlers' calls, or the answers to them, are changed to what a faulty handler would
//! have sent or done.

use local_shim::aws::Answer;
use serde_json::{Value, json};

use crate::world::World;

/// A planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The invocation that releases a viewer's lease does not read the log's head again.
    NoSecondLook,
    /// A repeated batch is stored again.
    RepeatForgotten,
    /// A lease that another invocation holds is taken all the same.
    LeaseIgnored,
    /// A batch does not notice a viewer that connects while the batch is stored.
    NewViewerUnnoticed,
    /// An end state is overwritten by a later event.
    EndStatesGiveWay,
    /// An invocation that has served a viewer for its turn releases the viewer without handing it over.
    NotHandedOver,
    /// The invocation that takes a viewer over does not know which lines of a batch the viewer has.
    ProgressForgotten,
    /// A batch does not notice that the holder of the fan-out's lease has released it meanwhile.
    OwnerUnnoticed,
    /// The fan-out's lease is taken although another invocation has it.
    FanOutLeaseIgnored,
    /// The fan-out's lease is released although lines were stored meanwhile.
    ReleasedBlindly,
    /// A post in flight is abandoned after 300 ms, and arrives all the same.
    PostAbandoned,
    /// A viewer that takes too long is not written as a viewer of its own before the fan-out's position moves.
    StragglerUnwritten,
    /// A lock is taken without a look at its slots in the transaction.
    SlotUnchecked,
    /// The end of an execution does not give its locks back.
    ReleaseForgotten,
    /// An attempt that is begun again has another mark in the log.
    MarkForgotten,
    /// The sweep does not see the executions that wait for capacity.
    CapacityUnwatched,
    /// The lease of an attempt that is being started is taken although another invocation has it.
    StartLeaseIgnored,
    /// No fault of the handlers, which must bear it: CloudWatch shows each line under another id than its subscription did.
    OtherIds,
}

impl World {
    /// Changes a call as the planted fault would.
    pub(super) fn spoil_request(&self, operation: &str, body: &mut Vec<u8>) {
        if self.planted() == Some(Planted::ReleaseForgotten) && operation == "TransactWriteItems" {
            forget_release(body);
        }
        let change: (&str, &str, &str) = match self.planted() {
            Some(Planted::LeaseIgnored) => {
                ("UpdateItem", "lease_until < :now", "lease_until < :now OR lease_until > :now")
            }
            Some(Planted::NewViewerUnnoticed) => ("TransactWriteItems", "version = :from", "#sequence < :sequence"),
            Some(Planted::OwnerUnnoticed) => {
                ("TransactWriteItems", "version = :from", "#sequence < :sequence AND watched = :watched")
            }
            Some(Planted::ReleasedBlindly) => {
                ("UpdateItem", "fan_owner = :owner AND version = :version", "fan_owner = :owner AND version > :one")
            }
            Some(Planted::StragglerUnwritten) => ("UpdateItem", "REMOVE joined", "REMOVE nothing"),
            Some(Planted::EndStatesGiveWay) => (
                "UpdateItem",
                "attribute_exists(execution_id) AND #status IN (",
                "attribute_exists(execution_id) OR #status IN (",
            ),
            Some(Planted::SlotUnchecked) => {
                ("TransactWriteItems", "held < slots AND waiting = :zero", "held >= :zero AND waiting = :zero")
            }
            Some(Planted::StartLeaseIgnored) => {
                ("TransactWriteItems", "start_lease_until <= :now", "start_lease_until <> :now")
            }
            Some(Planted::MarkForgotten) => {
                ("TransactWriteItems", "if_not_exists(#attempt_mark, ", "if_not_exists(other_mark, ")
            }
            Some(Planted::NotHandedOver) => ("UpdateItem", "handed_over = :true", "let_go = :true"),
            Some(Planted::ProgressForgotten) => ("UpdateItem", "last_event_id = :last", "some_line = :last"),
            _ => return,
        };
        if operation == change.0 {
            *body = String::from_utf8_lossy(body).replace(change.1, change.2).into_bytes();
        }
    }

    /// Changes an answer as the planted fault would.
    pub(super) fn spoil_answer(&self, invocation: usize, operation: &str, request: &[u8], answer: &mut Answer) {
        let request = String::from_utf8_lossy(request);
        match self.planted() {
            Some(Planted::RepeatForgotten) if operation == "Query" && request.contains("by-last-event") => {
                answer.body = br#"{"Items": [], "Count": 0, "ScannedCount": 0}"#.to_vec();
            }
            Some(Planted::CapacityUnwatched) if operation == "Query" && request.contains("by-status") => {
                let mut read: Value = serde_json::from_slice(&answer.body).unwrap();
                read["Items"].as_array_mut().unwrap().retain(|item| item["waits_for"]["S"] != "capacity");
                answer.body = read.to_string().into_bytes();
            }
            Some(Planted::FanOutLeaseIgnored) if operation == "GetItem" && request.contains("-log-heads\"") => {
                let mut read: Value = serde_json::from_slice(&answer.body).unwrap();
                if read["Item"]["fan_until"].is_object() {
                    read["Item"]["fan_until"] = json!({"N": "0"});
                    answer.body = read.to_string().into_bytes();
                }
            }
            Some(Planted::NoSecondLook) if operation == "UpdateItem" && request.contains("REMOVE lease_owner") => {
                self.state().let_go.insert(invocation);
            }
            Some(Planted::NoSecondLook)
                if operation == "GetItem"
                    && request.contains("-log-heads\"")
                    && self.state().let_go.contains(&invocation) =>
            {
                let mut read: Value = serde_json::from_slice(&answer.body).unwrap();
                read["Item"]["sequence"] = json!({"N": "0"});
                read["Item"]["complete"] = json!({"BOOL": false});
                answer.body = read.to_string().into_bytes();
            }
            _ => {}
        }
    }
}

/// Takes the changes of locks out of the transaction that ends an execution.
fn forget_release(body: &mut Vec<u8>) {
    let mut request: Value = serde_json::from_slice(body).unwrap();
    let writes = request["TransactItems"].as_array_mut().unwrap();
    let ends = |write: &Value| write["Update"]["ExpressionAttributeValues"][":locks_held"].is_object();
    if writes.iter().any(ends) {
        let is_of_locks = |change: &Value| change["TableName"].as_str().is_some_and(|table| table.ends_with("-locks"));
        writes.retain(|write| !write.as_object().unwrap().values().any(is_of_locks));
        *body = request.to_string().into_bytes();
    }
}
