//! Functions and the events that invoke them.

use std::collections::BTreeMap;

use super::{Reader, TemplateError, api, at::At, sources};
use crate::deployment::{Deployment, FunctionSpec};

const USED: [&str; 10] = [
    "CodeUri",
    "Handler",
    "Runtime",
    "PackageType",
    "Timeout",
    "MemorySize",
    "EphemeralStorage",
    "Environment",
    "ReservedConcurrentExecutions",
    "Events",
];
/// What differs on AWS only: who may do what, where logs go, how it is built and named.
const PASSED_OVER: [&str; 15] = [
    "Architectures",
    "Policies",
    "Role",
    "RolePath",
    "AssumeRolePolicyDocument",
    "PermissionsBoundary",
    "Tracing",
    "Tags",
    "PropagateTags",
    "Description",
    "LoggingConfig",
    "FunctionName",
    "KmsKeyArn",
    "RecursiveLoop",
    "EventInvokeConfig",
];

pub(super) fn read(reader: &Reader<'_>, deployment: &mut Deployment) -> Result<(), TemplateError> {
    let node = reader.properties(&USED, &PASSED_OVER)?;
    let at = At::new(&node, reader.resource.place());
    at.required("Runtime")?.one_of(&["provided.al2023"])?;
    at.required("Handler")?.text()?;
    if let Some(kind) = at.get("PackageType")? {
        kind.one_of(&["Zip"])?;
    }
    let mut storage = 512;
    if let Some(at) = at.get("EphemeralStorage")? {
        at.only(&["Size"])?;
        storage = at.required("Size")?.number(512, 10_240)?;
    }
    let reserved = at.get("ReservedConcurrentExecutions")?.map(|at| at.number(0, 100_000)).transpose()?;
    deployment.functions.push(FunctionSpec {
        logical: reader.logical(),
        binary: binary(&at.required("CodeUri")?)?,
        handler: at.required("Handler")?.text()?.to_owned(),
        timeout: at.get("Timeout")?.map_or(Ok(std::time::Duration::from_secs(3)), |at| at.seconds(1, 900))?,
        memory: at.get("MemorySize")?.map_or(Ok(128), |at| at.number(128, 10_240))?,
        storage,
        reserved,
    });
    if let Some(events) = at.get("Events")? {
        for (_, event) in events.entries()? {
            event.only(&["Type", "Properties"])?;
            match event.required("Type")?.text()? {
                "HttpApi" => api::event(reader, &event, deployment)?,
                "SQS" => sources::sqs(reader, &event, deployment)?,
                "Schedule" | "ScheduleV2" => sources::schedule(reader, &event, deployment)?,
                other => {
                    return Err(event.wrong(format!("is a {other}, which the local runner does not know")));
                }
            }
        }
    }
    variables(reader).map(|_| ())
}

/// The variables of the function's environment.
pub(super) fn variables(reader: &Reader<'_>) -> Result<BTreeMap<String, String>, TemplateError> {
    let others: Vec<&str> =
        USED.iter().filter(|name| **name != "Environment").chain(&PASSED_OVER).copied().collect();
    let node = reader.properties(&["Environment"], &others)?;
    let at = At::new(&node, reader.resource.place());
    let mut variables = BTreeMap::new();
    if let Some(environment) = at.get("Environment")? {
        environment.only(&["Variables"])?;
        for (name, value) in environment.required("Variables")?.entries()? {
            if name.starts_with("AWS_LAMBDA_") || name == "AWS_REGION" || name.starts_with("_") {
                return Err(value.wrong("is a name that Lambda keeps for itself"));
            }
            variables.insert(name.to_owned(), value.text()?.to_owned());
        }
    }
    Ok(variables)
}

/// `…/willcall-submit/bootstrap.zip`, or a directory with `bootstrap` in it: the package is named by its directory.
fn binary(at: &At<'_>) -> Result<String, TemplateError> {
    let text = at.text()?;
    let directory = text.trim_end_matches('/').trim_end_matches("/bootstrap.zip");
    match directory.rsplit('/').next() {
        Some(name) if !name.is_empty() && name != "." && name != ".." && !name.ends_with(".zip") => {
            Ok(name.to_owned())
        }
        _ => Err(at.wrong(format!(
            "is {text}, and must end with the binary's name, or with that and /bootstrap.zip"
        ))),
    }
}
