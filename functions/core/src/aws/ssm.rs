//! Calls Parameter Store of Systems Manager (SSM). The names of operations and fields are those of its API reference.

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};

use super::{
    json::{JsonOperation, Service},
    operation::Failure,
};

/// Calls SSM as the function's own role.
#[derive(Clone, Debug)]
pub struct Client {
    put: JsonOperation<Put, Nothing>,
    get: JsonOperation<Get, Got>,
    delete: JsonOperation<Named, Nothing>,
    describe: JsonOperation<Describe, Described>,
    list_tags: JsonOperation<Resource, Tags>,
    add_tags: JsonOperation<AddTags, Nothing>,
}

/// A parameter that is to be written, encrypted. It has no debug format, so that no log has its value.
#[derive(Clone, Default)]
pub struct NewParameter {
    pub name: String,
    pub value: String,
    /// The key of KMS that encrypts the value; SSM's own if there is none.
    pub kms_key: Option<String>,
    /// Whether a parameter of this name may exist. SSM takes no tags then.
    pub overwrite: bool,
    pub tags: Vec<Tag>,
}

/// A parameter without its value.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Parameter {
    #[serde(default)]
    pub name: String,
    /// When it was written, in seconds since 1970.
    pub last_modified_date: Option<f64>,
}

/// A tag of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    pub key: String,
    pub value: String,
}

impl Client {
    pub fn new(sdk: &SdkConfig) -> Self {
        let ssm = Service { sdk, name: "ssm", target: "AmazonSSM" };
        Self {
            put: ssm.operation("PutParameter"),
            get: ssm.operation("GetParameter"),
            delete: ssm.operation("DeleteParameter"),
            describe: ssm.operation("DescribeParameters"),
            list_tags: ssm.operation("ListTagsForResource"),
            add_tags: ssm.operation("AddTagsToResource"),
        }
    }

    /// Writes a parameter.
    ///
    /// # Errors
    /// `ParameterAlreadyExists` is the code of the refusal where there is one and it may not be overwritten.
    pub async fn put(&self, parameter: NewParameter) -> Result<(), Failure> {
        let NewParameter { name, value, kms_key, overwrite, tags } = parameter;
        let put = Put { name, value, r#type: "SecureString", key_id: kms_key, overwrite, tags };
        self.put.invoke(put).await.map(drop)
    }

    /// The value of a parameter.
    ///
    /// # Errors
    /// `ParameterNotFound` is the code of the refusal where there is none.
    pub async fn get(&self, name: String) -> Result<String, Failure> {
        let got = self.get.invoke(Get { name, with_decryption: true }).await?;
        Ok(got.parameter.value)
    }

    /// Deletes a parameter.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete(&self, name: String) -> Result<(), Failure> {
        self.delete.invoke(Named { name }).await.map(drop)
    }

    /// The parameters whose names begin with this path and a slash.
    ///
    /// # Errors
    /// What SSM answers to a call, or that it does not answer, or that it answers with the token that it was sent.
    pub async fn below(&self, path: &str) -> Result<Vec<Parameter>, Failure> {
        let mut found = Vec::new();
        let mut next_token = None;
        loop {
            let below = Filter { key: "Path", option: "Recursive", values: [path.to_owned()] };
            let request = Describe { parameter_filters: [below], next_token: next_token.clone() };
            let page = self.describe.invoke(request).await?;
            found.extend(page.parameters.unwrap_or_default());
            let next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
            if next == next_token {
                return Err(Failure::construction_failure("SSM answered with the token that it was sent"));
            }
            next_token = next;
        }
    }

    /// The tags of a parameter.
    ///
    /// # Errors
    /// `InvalidResourceId` is the code of the refusal where there is no such parameter.
    pub async fn tags(&self, name: String) -> Result<Vec<Tag>, Failure> {
        Ok(self.list_tags.invoke(Resource::parameter(name)).await?.tag_list.unwrap_or_default())
    }

    /// Gives a parameter these tags, besides those that it has.
    ///
    /// # Errors
    /// As [`Client::tags`].
    pub async fn add_tags(&self, name: String, tags: Vec<Tag>) -> Result<(), Failure> {
        self.add_tags.invoke(AddTags { resource: Resource::parameter(name), tags }).await.map(drop)
    }
}

/// An answer of which nothing is of use.
#[derive(Deserialize)]
struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    name: String,
    value: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    overwrite: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Get {
    name: String,
    with_decryption: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Got {
    parameter: WithValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WithValue {
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Describe {
    parameter_filters: [Filter; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: &'static str,
    option: &'static str,
    values: [String; 1],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    parameters: Option<Vec<Parameter>>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    resource_type: &'static str,
    resource_id: String,
}

impl Resource {
    fn parameter(name: String) -> Self {
        Self { resource_type: "Parameter", resource_id: name }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddTags {
    #[serde(flatten)]
    resource: Resource,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    tag_list: Option<Vec<Tag>>,
}
