//! Emulates IAM's GetRole, and the one operation of STS that many tools call first.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    error::EMULATED,
    exchange::Answer,
    permissions::{Access, Statement},
};
use crate::stack::ACCOUNT;

/// The emulated IAM.
#[derive(Clone)]
pub struct Iam {
    roles: Arc<Vec<String>>,
    /// The statements that the policies of each function allow, by the function's name.
    policies: Arc<BTreeMap<&'static str, Vec<Statement>>>,
}

impl Iam {
    pub fn new(roles: Vec<String>, policies: BTreeMap<&'static str, Vec<Statement>>) -> Self {
        Self { roles: Arc::new(roles), policies: Arc::new(policies) }
    }

    /// Answers one call of IAM's query protocol, of a function or of a caller outside this process.
    pub fn call(&self, operation: &str, body: &[u8], caller: Option<&str>) -> Answer {
        if operation != "GetRole" {
            return error(400, "InvalidAction", &format!("this operation is not emulated; emulated are: {EMULATED}"));
        }
        let body = String::from_utf8_lossy(body);
        let name = body.split('&').find_map(|pair| pair.strip_prefix("RoleName=")).unwrap_or_default();
        let name = percent_encoding::percent_decode_str(&name.replace('+', " ")).decode_utf8_lossy().into_owned();
        // "GetRole", IAM API Reference.
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@-_".contains(&b));
        if !((1..=64).contains(&name.len()) && is_name(&name)) {
            let message = "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the \
                following: +=,.@_- and have 1 to 64 of them";
            return error(400, "ValidationError", message);
        }
        if let Some(caller) = caller
            && !self.may_get(caller, &name)
        {
            let message = format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/{caller} is not authorized to perform: iam:GetRole on resource: \
                 role {name} because no identity-based policy allows the iam:GetRole action"
            );
            return error(403, "AccessDenied", &message);
        }
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

    fn may_get(&self, caller: &str, role: &str) -> bool {
        let access = Access {
            action: "iam:GetRole".to_owned(),
            resource: format!("arn:aws:iam::{ACCOUNT}:role/{role}"),
            conditions: BTreeMap::new(),
        };
        self.policies.get(caller).is_some_and(|statements| statements.iter().any(|statement| statement.allows(&access)))
    }
}

/// An error of the query protocol.
pub(super) fn error(status: u16, code: &str, message: &str) -> Answer {
    let message = message.replace('&', "&amp;").replace('<', "&lt;");
    let body = format!(
        "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    Answer { status, content_type: "text/xml", body: body.into_bytes() }
}

/// Answers one call of STS: the identity of the access key that the program made.
pub(super) fn call_sts(operation: &str) -> Answer {
    if operation != "GetCallerIdentity" {
        return error(400, "InvalidAction", &format!("this operation is not emulated; emulated are: {EMULATED}"));
    }
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{ACCOUNT}:user/local</Arn><UserId>AIDALOCAL</UserId><Account>{ACCOUNT}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>",
        uuid::Uuid::new_v4()
    );
    Answer { status: 200, content_type: "text/xml", body: body.into_bytes() }
}
