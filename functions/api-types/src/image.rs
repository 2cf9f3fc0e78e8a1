//! Defines a registered image as the API shows it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Email, RequestId, RuntimePlatform, time};

/// A registered image, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Image {
    /// `name:tag-xxxxxxxx`; the same registration twice has the same id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image_id: ImageId,
    /// The image as ECS pulls it.
    pub image: String,
    /// Family of the ECS task definition.
    pub task_definition_name: String,
    #[serde(default)]
    pub is_default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_role_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_execution_role_name: Option<String>,
    /// The security groups of its tasks, where they are not the stack's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// CPU units; 1024 make one virtual CPU.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// `Linux/ARM64` or `Linux/X86_64`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub runtime_platform: RuntimePlatform,
    pub image_registry: String,
    pub image_name: String,
    pub image_tag: String,
    pub created_by: Email,
    pub owned_by: Vec<Email>,
    /// Users and roles (`role:developer`) that may use it; everyone whose role allows it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_with: Option<Vec<String>>,
    #[serde(with = "time::as_rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub created_at: Timestamp,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_by_request_id: RequestId,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub modified_by_request_id: RequestId,
}

/// Names a registration of an image: `name:tag-xxxxxxxx`, where the last part is a hash over name, tag, size, platform, roles and
/// security groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(String);

impl ImageId {
    /// Stands in for the image of an execution that could not start in the default image, because there was none. No image has this id.
    pub const NONE: &str = "default";

    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A page of images.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Images {
    pub images: Vec<Image>,
}

/// An image to be registered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterImage {
    /// As `docker pull` takes it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 255, example = "ubuntu:22.04"))]
    pub image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_role_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_execution_role_name: Option<String>,
    /// Security groups of its tasks in place of the stack's, of those that the stack's parameter `ImageSecurityGroupIds` names.
    #[cfg_attr(feature = "openapi", schema(max_items = 5))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
    /// CPU units; 1024 make one virtual CPU. 256 if absent or 0.
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 16_384))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// MiB; 512 if absent or 0.
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 122_880))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// `Linux/ARM64`, the default, or `Linux/X86_64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_platform: Option<String>,
}

/// An image that was registered or removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageAnswer {
    /// The image as the request named it.
    pub image: String,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image_id: ImageId,
    pub message: String,
}
