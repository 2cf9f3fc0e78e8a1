//! Describes what users type to manage images, secrets, users and their own access.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Images {
    /// List images
    List,
    /// Show an image
    Show { image: String },
    /// Let commands run in an image
    #[command(
        after_help = "Example: runvoy images register public.ecr.aws/docker/library/alpine:3.22 --cpu 512 --memory 1024"
    )]
    Register {
        image: String,
        /// CPU units: 1024 are one vCPU
        #[arg(long)]
        cpu: Option<u32>,
        /// Memory in MB
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
    },
    /// Remove an image
    #[command(alias = "delete")]
    Unregister { image_id: String },
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
    List,
    /// Print the value of a secret
    #[command(alias = "show")]
    Get { name: String },
    /// Create a secret; asks for its value
    #[command(after_help = "\
Examples:
  runvoy secrets create database DATABASE_URL                         asks for the value
  runvoy secrets create database DATABASE_URL --value-file url.txt
  pass show database | runvoy secrets create database DATABASE_URL -")]
    Create {
        name: String,
        /// The variable that commands get the value in
        key_name: String,
        /// The value, or - for standard input. Other users of this machine can see the arguments of a program
        value: Option<String>,
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        source: ValueSource,
    },
    /// Change a secret; what is not given stays as it is
    Update {
        name: String,
        #[arg(long)]
        key_name: Option<String>,
        /// The value, or - for standard input; without a value, asks for it
        #[arg(long, num_args = 0..=1, default_missing_value = "")]
        value: Option<String>,
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        source: ValueSource,
    },
    /// Delete a secret
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// List users
    List,
    /// Create a user, and print the link by which they get their API key
    Create {
        email: String,
        /// admin, operator, developer or viewer
        #[arg(long)]
        role: String,
    },
    /// Take a user's access away
    Revoke { email: String },
}

#[derive(Args, Debug)]
#[command(after_help = "\
An existing configuration stays: a key of another user or endpoint becomes a profile of its own, which `runvoy config use` selects.")]
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
    Use { name: String },
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
