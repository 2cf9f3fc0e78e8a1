//! Tests of `/users`, `/claim` and `/users/{email}/keys`.

mod claim;
mod create;
mod keys;
