//! Compresses lines into batches, each small enough for one item of the table.

use std::{
    borrow::Cow,
    io::{Read, Write},
};

use aws_sdk_dynamodb::primitives::Blob;
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::{Deserialize, Serialize};

use super::LogEvent;
use crate::{
    Error, Result,
    execution::ExecutionId,
    table::{Item, MAX_ITEM_BYTES, number, string},
};

/// Bytes that the compressed lines of a batch may have. The rest of the item is for its keys.
const MAX_COMPRESSED: usize = MAX_ITEM_BYTES - 8 * 1024;

/// Consecutive lines under one sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub sequence: u64,
    pub events: Vec<LogEvent>,
}

/// Compressed lines that become an item once they have a sequence number.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    pub(super) events: Vec<LogEvent>,
    compressed: Vec<u8>,
}

/// Packs lines into batches that each fit into one item. `events` must not be empty.
pub(super) fn pack(events: Vec<LogEvent>) -> Result<Vec<Packed>> {
    let mut packed = Vec::new();
    let mut rest = vec![events];
    while let Some(mut events) = rest.pop() {
        let compressed = compress(&events)?;
        if compressed.len() <= MAX_COMPRESSED {
            packed.push(Packed { events, compressed });
        } else if events.len() > 1 {
            let second = events.split_off(events.len() / 2);
            rest.push(second);
            rest.push(events);
        } else {
            return Err(Error::internal("one line does not fit into an item, though long lines are split"));
        }
    }
    Ok(packed)
}

impl Packed {
    /// The size of the item in bytes, without its keys.
    pub(super) fn size(&self) -> usize {
        self.compressed.len()
    }

    pub(super) fn item(&self, id: &ExecutionId, sequence: u64, expires_at: i64) -> Item {
        let ids = || self.events.iter().map(|event| event.event_id.as_str());
        Item::from([
            ("execution_id".to_owned(), string(id.as_str())),
            ("sequence".to_owned(), number(sequence)),
            ("first_event_id".to_owned(), string(ids().min().unwrap_or_default())),
            ("last_event_id".to_owned(), string(ids().max().unwrap_or_default())),
            ("lines".to_owned(), number(self.events.len())),
            ("expires_at".to_owned(), number(expires_at)),
            ("events".to_owned(), aws_sdk_dynamodb::types::AttributeValue::B(Blob::new(self.compressed.clone()))),
        ])
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    sequence: u64,
    events: serde_bytes::ByteBuf,
}

impl Batch {
    pub(super) fn from_item(item: Item) -> Result<Self> {
        let stored: Stored = crate::table::from_item(item)?;
        Ok(Self { sequence: stored.sequence, events: parse(&decompress(&stored.events)?)? })
    }

    /// Calls `show` with the id of each line, in their order, and makes nothing of the rest of the lines.
    pub(super) fn ids_of_item(item: Item, mut show: impl FnMut(&str)) -> Result<()> {
        #[derive(Deserialize)]
        struct Line<'a> {
            #[serde(borrow)]
            event_id: Cow<'a, str>,
        }
        let stored: Stored = crate::table::from_item(item)?;
        let json = decompress(&stored.events)?;
        parse::<Vec<Line<'_>>>(&json)?.iter().for_each(|line| show(&line.event_id));
        Ok(())
    }
}

fn compress(events: &[LogEvent]) -> Result<Vec<u8>> {
    const WHAT: &str = "a batch of lines could not be compressed";
    let json = serde_json::to_vec(events).map_err(|error| Error::internal_with(WHAT, error))?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&json).map_err(|error| Error::internal_with(WHAT, error))?;
    encoder.finish().map_err(|error| Error::internal_with(WHAT, error))
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut json = Vec::new();
    DeflateDecoder::new(bytes)
        .read_to_end(&mut json)
        .map_err(|error| Error::internal_with("a stored batch cannot be decompressed", error))?;
    Ok(json)
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| Error::internal_with("a stored batch cannot be read", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize, message: String) -> LogEvent {
        LogEvent { event_id: format!("{number:056}"), timestamp: 1, message, exit_code: None }
    }

    /// Pseudo-random text, which does not compress.
    fn noise(length: usize) -> String {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                char::from(b'!' + (state % 94) as u8)
            })
            .collect()
    }

    #[test]
    fn many_short_lines_make_one_item() {
        let events: Vec<_> = (0..10_000).map(|n| event(n, format!("line {n}"))).collect();
        let packed = pack(events.clone()).unwrap();
        assert_eq!(packed.len(), 1);
        let item = packed[0].item(&"x".parse().unwrap(), 3, 0);
        let mut ids = Vec::new();
        Batch::ids_of_item(item.clone(), |id| ids.push(id.to_owned())).unwrap();
        assert!(ids.iter().eq(events.iter().map(|event| &event.event_id)));
        assert_eq!(Batch::from_item(item).unwrap(), Batch { sequence: 3, events });
    }

    #[test]
    fn what_does_not_fit_one_item_is_split_in_order() {
        let events: Vec<_> = (0..20).map(|n| event(n, noise(100_000))).collect();
        let packed = pack(events.clone()).unwrap();
        assert!(packed.len() > 1 && packed.iter().all(|packed| packed.size() < MAX_ITEM_BYTES));
        assert_eq!(packed.into_iter().flat_map(|packed| packed.events).collect::<Vec<_>>(), events);
    }
}
