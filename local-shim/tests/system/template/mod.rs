//! Tests of the template: its resources, the permissions of its roles, and what an upgrade changes.

mod permissions;
mod resources;
mod upgrade;
