//! Does `runvoy images`: lists, shows, registers and removes images.

use reqwest::{Method, StatusCode};
use runvoy_api_types::{Image, ImageAnswer, Images, RegisterImage, time::rfc3339};
use serde::de::IgnoredAny;

use super::context::Context;
use crate::{
    api::{Repeat, RequestError, segment},
    arguments,
    failure::{Failure, Result},
    output::{self, Columns, Fields, cell, names, or_dash},
};

pub(crate) async fn run(context: &Context, command: arguments::Images) -> Result<()> {
    match command {
        arguments::Images::List { search } => {
            let path = search.map_or_else(|| "/images".to_owned(), |search| format!("/images?q={}", segment(&search)));
            let table = |images: &[Image]| {
                let mut columns = Columns::leaving_out(
                    &["IMAGE", "CPU", "MEMORY", "PLATFORM", "DEFAULT", "ID"],
                    &["MEMORY", "CPU", "PLATFORM"],
                );
                for image in images {
                    columns.row([
                        cell(&image.image),
                        cell(image.cpu),
                        cell(image.memory),
                        cell(image.runtime_platform),
                        if image.is_default { "yes" } else { "" }.to_owned(),
                        cell(&image.image_id),
                    ]);
                }
                columns.print("there are no images: `runvoy images register IMAGE`")
            };
            context.list(&path, "images", table).await
        }
        arguments::Images::Show { image } => {
            let answer = context.api.get(&format!("/images/{}", segment(&image))).await?;
            context.show(&answer, |image| output::print(&fields_of(&image).render()))
        }
        arguments::Images::Register {
            image,
            cpu,
            memory,
            runtime_platform,
            set_default,
            task_role,
            task_exec_role,
            security_groups,
        } => {
            let body = RegisterImage {
                image,
                is_default: set_default,
                task_role_name: task_role,
                task_execution_role_name: task_exec_role,
                security_groups: Some(security_groups).filter(|groups| !groups.is_empty()),
                cpu,
                memory,
                runtime_platform,
            };
            let answer = context.api.post("/images/register", &body).await?;
            let ImageAnswer { image, image_id, message } = answer.parse()?;
            context.show(&answer, |_: IgnoredAny| {
                output::print(&crate::escape::text(&format!("{image}: {message} as {image_id}")))
            })
        }
        arguments::Images::Unregister { image_id, confirmation } => {
            confirmation.ask(&format!("Remove the image {image_id}?"))?;
            let delete = |id: &str| format!("/images/{}", segment(id));
            let answer = match context.api.send(Method::DELETE, &delete(&image_id), None, &[], Repeat::Removal).await {
                Err(RequestError::Refused { status: StatusCode::NOT_FOUND, failure, .. }) => {
                    let id = only_id_of(context, &image_id, failure).await?;
                    context.api.delete(&delete(&id)).await?
                }
                answer => answer?,
            };
            context.done(&answer)
        }
    }
}

/// The id of the only image that has this name, for a server that deletes images by their id only.
async fn only_id_of(context: &Context, name: &str, failure: Failure) -> Result<String> {
    let list: Images = context.api.get("/images").await?.parse()?;
    let named = list.images.into_iter().filter(|image| image.image == name);
    let ids: Vec<String> = named.map(|image| image.image_id.to_string()).collect();
    match ids.as_slice() {
        [] => Err(failure),
        [id] => Ok(id.clone()),
        ids => Err(Failure::new(format!("{} images have the name {name:?}", ids.len()))
            .remedy(format!("name one by its id: {}", ids.join(", ")))),
    }
}

/// The fields of an image, by the names that the API gives them.
fn fields_of(image: &Image) -> Fields {
    let mut fields = Fields::new("");
    fields.add("id", cell(&image.image_id));
    fields.add("image", cell(&image.image));
    fields.add("default", if image.is_default { "yes" } else { "no" }.to_owned());
    fields.add("cpu", format!("{} units", image.cpu));
    fields.add("memory", format!("{} MiB", image.memory));
    fields.add("platform", cell(image.runtime_platform));
    fields.add("task role", or_dash(image.task_role_name.as_ref()));
    fields.add("execution role", or_dash(image.task_execution_role_name.as_ref()));
    fields.add("security groups", names(&image.security_groups));
    fields.add("registry", cell(&image.image_registry));
    fields.add("name", cell(&image.image_name));
    fields.add("tag", cell(&image.image_tag));
    fields.add("registered", format!("{} by {}", rfc3339(image.created_at), cell(&image.created_by)));
    fields.add("owners", names(&image.owned_by));
    fields.add("shared with", names(image.shared_with.as_deref().unwrap_or_default()));
    fields.add("task definition", cell(&image.task_definition_name));
    fields.add("request id", cell(&image.created_by_request_id));
    fields.add("changed by request", cell(&image.modified_by_request_id));
    fields
}
