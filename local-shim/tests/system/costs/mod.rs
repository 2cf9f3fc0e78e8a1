//! Tests of what requests and events cost: calls of AWS, write units of DynamoDB, and dollars.

mod calls;
mod month;
mod schedules;
mod write_units;
