//! Describes what users type to manage images, secrets, users and their own access.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use runvoy_api_types::limits::MAX_SLOTS;

use super::{
    confirmation::Confirmation,
    values::{count, duration, moment},
};
use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum Images {
    /// List images
    #[command(visible_alias = "ls")]
    List {
        /// Only images with this in their names
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Show an image
    Show {
        #[arg(add = completion::images())]
        image: String,
    },
    /// Let commands run in an image
    #[command(after_help = "\
Example:
  runvoy images register public.ecr.aws/docker/library/alpine:3.22 --cpu 512")]
    Register {
        image: String,
        /// CPU units: 1024 are one vCPU
        #[arg(long)]
        cpu: Option<u32>,
        /// MiB of memory
        #[arg(long)]
        memory: Option<u32>,
        /// What the image is built for: Linux/ARM64, the default, or Linux/X86_64
        #[arg(long)]
        runtime_platform: Option<String>,
        /// Make it the default image
        #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
        set_default: Option<bool>,
        /// The role that commands have
        #[arg(long, value_name = "ROLE")]
        task_role: Option<String>,
        /// The role with which ECS pulls the image
        #[arg(long, value_name = "ROLE")]
        task_exec_role: Option<String>,
        /// A security group of its tasks in place of the stack's. May be given several times
        #[arg(long = "security-group", value_name = "GROUP")]
        security_groups: Vec<String>,
    },
    /// Remove an image
    #[command(alias = "delete", visible_alias = "rm")]
    Unregister {
        /// The image's id, or a name that only one image has
        #[arg(add = completion::image_ids())]
        image_id: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// Where the value of a secret comes from.
#[derive(Args, Debug)]
pub(crate) struct ValueSource {
    /// Read the value from this file, without its final line end
    #[arg(long, value_name = "FILE")]
    pub(crate) value_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// List secrets, without values
    #[command(visible_alias = "ls")]
    List {
        /// Only secrets with this in their names
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Print the value of a secret
    #[command(alias = "show")]
    Get {
        #[arg(add = completion::secrets())]
        name: String,
    },
    /// Create a secret; asks for its value
    #[command(after_help = "\
Examples:
  runvoy secrets create db DATABASE_URL                       asks for the value
  runvoy secrets create db DATABASE_URL --value-file url.txt
  pass show database | runvoy secrets create db DATABASE_URL -")]
    Create {
        /// The name by which runs ask for it
        name: String,
        /// The variable that commands get the value in
        key_name: String,
        /// The value, or - for standard input. Other users of this machine can see the arguments of a program
        value: Option<String>,
        /// A sentence for others
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        source: ValueSource,
    },
    /// Change a secret; what is not given stays as it is
    Update {
        /// The secret
        #[arg(add = completion::secrets())]
        name: String,
        /// The variable that commands get the value in
        #[arg(long, value_name = "VARIABLE")]
        key_name: Option<String>,
        /// The value, or - for standard input; without a value, asks for it
        #[arg(long, num_args = 0..=1, default_missing_value = "")]
        value: Option<String>,
        /// A sentence for others
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        source: ValueSource,
    },
    /// Delete a secret
    #[command(visible_alias = "rm")]
    Delete {
        #[arg(add = completion::secrets())]
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// List users
    #[command(visible_alias = "ls")]
    List {
        /// Only users with this in their addresses
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Show a user: role, state and API keys
    #[command(alias = "get")]
    Show {
        #[arg(add = completion::users())]
        email: String,
    },
    /// Create a user, and print the link by which they get their API key
    Create {
        email: String,
        /// admin, operator, developer, runner or viewer
        #[arg(long)]
        role: String,
    },
    /// Take a user's access away
    #[command(visible_alias = "rm")]
    Revoke {
        #[arg(add = completion::users())]
        email: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Let a revoked user in again
    Restore {
        #[arg(add = completion::users())]
        email: String,
    },
    /// Give a user another role
    Role {
        #[arg(add = completion::users())]
        email: String,
        /// admin, operator, developer, runner or viewer
        role: String,
    },
    /// Print a new link for someone who has lost the key; the old keys stay until they are deleted
    Claim {
        #[arg(add = completion::users())]
        email: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Locks {
    /// List the locks
    #[command(visible_alias = "ls")]
    List,
    /// Show who holds a lock and who waits for it
    Show {
        #[arg(add = completion::locks())]
        name: String,
    },
    /// Set the slots of a lock or the limit of its line, or pause it
    #[command(after_help = "\
Examples:
  runvoy locks set tf-prod --pause
  runvoy locks set builds --slots 4 --max-queue 20

To take an execution out of the line, stop it: runvoy kill ID")]
    Set {
        #[arg(add = completion::locks())]
        name: String,
        /// The number of executions that may hold it at the same time
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SLOTS)))]
        slots: Option<u32>,
        /// Give it to no execution from now on
        #[arg(long, conflicts_with = "resume")]
        pause: bool,
        /// Give it to executions again
        #[arg(long)]
        resume: bool,
        /// The largest number of executions that may wait for it; 0 for no limit
        #[arg(long, value_name = "NUMBER")]
        max_queue: Option<u32>,
    },
    /// Delete a lock that no execution holds or waits for
    #[command(visible_alias = "rm")]
    Delete {
        #[arg(add = completion::locks())]
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// List your keys, never the keys themselves
    #[command(visible_alias = "ls")]
    List {
        /// The keys of another user; for admins
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
    },
    /// Make another key, and print it once
    #[command(after_help = "Example: runvoy keys create ci --expires 30d --action executions:run")]
    Create {
        /// For whom or what the key is
        name: String,
        /// The time that the key works, such as 12h or 30d
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        expires: Option<u64>,
        /// Limit the key to this action, such as executions:run; may be repeated
        #[arg(long = "action", value_name = "ACTION", value_delimiter = ',')]
        actions: Vec<String>,
        /// Limit the key to this playbook; may be repeated
        #[arg(long = "playbook", value_name = "NAME", value_delimiter = ',')]
        playbooks: Vec<String>,
    },
    /// Delete a key, which stops working at once
    #[command(visible_alias = "rm")]
    Delete {
        #[arg(add = completion::keys())]
        key_id: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  runvoy audit --actor a@example.com --since 7d
  runvoy audit --resource secret:prod --action secrets:read
  runvoy audit --outcome refused --limit 0 -o json")]
pub(crate) struct Audit {
    /// Only what this user did
    #[arg(long, value_name = "EMAIL")]
    pub(crate) actor: Option<String>,

    /// Only this action, such as secrets:read
    #[arg(long)]
    pub(crate) action: Option<String>,

    /// Only what was done to this, such as secret:prod
    #[arg(long)]
    pub(crate) resource: Option<String>,

    /// Only done, refused or failed
    #[arg(long)]
    pub(crate) outcome: Option<String>,

    /// Only since then: a duration such as 7d, or a time such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<Timestamp>,

    /// Only before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<Timestamp>,

    /// How many; 0 for all
    #[arg(short, long, default_value_t = 50, value_name = "N", allow_negative_numbers = true, value_parser = count)]
    pub(crate) limit: usize,
}

#[derive(Args, Debug)]
#[command(after_help = "\
An existing configuration stays: a key of another user or endpoint becomes a
profile of its own, which `runvoy config use` selects.")]
pub(crate) struct Claim {
    /// The link that you got, or the token at its end
    #[arg(allow_hyphen_values = true)]
    pub(crate) token: String,

    /// The URL of the API, where the link does not lead to it
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Configure {
    /// The URL of the API
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Configuration {
    /// List the profiles, and mark the one that is used
    List,
    /// Use a profile where no other is named
    Use {
        #[arg(add = completion::profiles())]
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Health {
    #[command(subcommand)]
    pub(crate) action: Option<HealthAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HealthAction {
    /// Compare what is stored with AWS, repair what can be repaired, and report the rest
    Reconcile,
}
