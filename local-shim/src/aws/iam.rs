//! IAM: whether a role exists.

use std::sync::Arc;

use super::Answer;
use crate::stack::ACCOUNT;

#[derive(Clone)]
pub struct Iam {
    roles: Arc<Vec<String>>,
}

impl Iam {
    pub fn new(roles: Vec<String>) -> Self {
        Self { roles: Arc::new(roles) }
    }

    /// Answers one call of IAM's query protocol.
    pub fn call(&self, operation: &str, body: &[u8]) -> Answer {
        if operation != "GetRole" {
            return error(400, "InvalidAction", "this operation is not emulated here");
        }
        let body = String::from_utf8_lossy(body);
        let name = body.split('&').find_map(|pair| pair.strip_prefix("RoleName=")).unwrap_or_default();
        let name = percent_decode(name);
        if !self.roles.contains(&name) {
            return error(404, "NoSuchEntity", &format!("The role with name {name} cannot be found."));
        }
        let body = format!(
            "<GetRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetRoleResult><Role>\
             <Path>/</Path><RoleName>{name}</RoleName><RoleId>AROALOCAL</RoleId>\
             <Arn>arn:aws:iam::{ACCOUNT}:role/{name}</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate>\
             </Role></GetRoleResult></GetRoleResponse>"
        );
        Answer { status: 200, content_type: "text/xml", body: body.into_bytes() }
    }
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let message = message.replace('&', "&amp;").replace('<', "&lt;");
    let body = format!(
        "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    Answer { status, content_type: "text/xml", body: body.into_bytes() }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => {
                std::str::from_utf8(&[*high, *low]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
            }
            _ => None,
        };
        match (escaped, first) {
            (Some(byte), _) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (None, b'+') => {
                bytes.push(b' ');
                rest = tail;
            }
            (None, byte) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
