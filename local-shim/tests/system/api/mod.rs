//! Tests of what all routes have in common.

mod compatibility;
mod description;
mod faults;
mod fields;
mod names;
mod owners;
mod resource_maker;
mod roles;
