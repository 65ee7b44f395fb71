//! The HTTP API: routes, their functions, and CORS.

use std::time::Duration;

use super::{Reader, TemplateError, at::At, yaml::Node};
use crate::deployment::{ApiSpec, CorsSpec, Deployment, RoutePath, RouteSpec};

const FUNCTION: &str = "AWS::Serverless::Function";
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
/// The longest that an HTTP API waits for a function.
const LONGEST: u64 = 30_000;

/// A resource `AWS::Serverless::HttpApi`.
pub(super) fn read(reader: &Reader<'_>, deployment: &mut Deployment) -> Result<(), TemplateError> {
    let passed_over = [
        "Name",
        "Description",
        "Tags",
        "PropagateTags",
        "AccessLogSettings",
        "DefaultRouteSettings",
        "RouteSettings",
        "FailOnWarnings",
    ];
    let node = reader.properties(&["StageName", "CorsConfiguration"], &passed_over)?;
    let at = At::new(&node, reader.resource.place());
    if let Some(other) = &deployment.api {
        return Err(at.wrong(format!("is a second API beside {}", other.logical)));
    }
    let stage = at.get("StageName")?.map_or(Ok("$default"), |at| at.text())?.to_owned();
    let cors = at.get("CorsConfiguration")?.map(|at| cors(&at)).transpose()?;
    deployment.api = Some(ApiSpec { logical: reader.logical(), stage, cors });
    Ok(())
}

fn cors(at: &At<'_>) -> Result<CorsSpec, TemplateError> {
    at.only(&[
        "AllowOrigins",
        "AllowMethods",
        "AllowHeaders",
        "ExposeHeaders",
        "MaxAge",
        "AllowCredentials",
    ])?;
    let texts = |key: &str| at.get(key)?.map_or(Ok(Vec::new()), |at| at.texts());
    let lower = |key: &str| -> Result<Vec<String>, TemplateError> {
        Ok(texts(key)?.iter().map(|text| text.to_ascii_lowercase()).collect())
    };
    let cors = CorsSpec {
        origins: texts("AllowOrigins")?,
        methods: texts("AllowMethods")?,
        headers: lower("AllowHeaders")?,
        expose: lower("ExposeHeaders")?,
        max_age: at.get("MaxAge")?.map(|at| at.number(-1, 86_400)).transpose()?,
        credentials: at.get("AllowCredentials")?.map_or(Ok(false), |at| at.flag())?,
    };
    let known = |method: &String| method == "*" || METHODS.contains(&method.as_str());
    if let Some(method) = cors.methods.iter().find(|method| !known(method)) {
        return Err(at.wrong(format!("allows the method {method}, which is not one")));
    }
    let any = |list: &[String]| list.iter().any(|item| item == "*");
    if cors.credentials && [&cors.origins, &cors.methods, &cors.headers].iter().any(|list| any(list)) {
        return Err(at.wrong("allows credentials, and so must name origins, methods and headers"));
    }
    Ok(cors)
}

/// An event `HttpApi` of a function.
pub(super) fn event(
    reader: &Reader<'_>,
    event: &At<'_>,
    deployment: &mut Deployment,
) -> Result<(), TemplateError> {
    let empty = Node { line: event.node.line, kind: super::Kind::Map(Vec::new()) };
    let at = event.get("Properties")?.unwrap_or_else(|| At::new(&empty, &event.place));
    at.only(&["ApiId", "Path", "Method", "PayloadFormatVersion", "TimeoutInMillis", "RouteSettings"])?;
    if let Some(api) = at.get("ApiId")? {
        reader.target(&api, &["AWS::Serverless::HttpApi"])?;
    }
    if let Some(version) = at.get("PayloadFormatVersion")? {
        version.one_of(&["2.0"])?;
    }
    let (method, path) = match (at.get("Method")?, at.get("Path")?) {
        (None, None) => (None, RoutePath::Default),
        (Some(_), Some(path)) if matches!(path.text()?, "$default" | "/$default") => {
            (None, RoutePath::Default)
        }
        (Some(method), Some(path)) => {
            (read_method(&method, method.text()?)?, read_path(&path, path.text()?)?)
        }
        _ => return Err(at.wrong("must have both Path and Method, or neither")),
    };
    add(deployment, &at, RouteSpec { method, path, function: reader.logical(), timeout: timeout(&at)? })
}

/// A resource `AWS::ApiGatewayV2::Route`.
pub(super) fn route(reader: &Reader<'_>, deployment: &mut Deployment) -> Result<(), TemplateError> {
    let node = reader.properties(&["RouteKey", "Target"], &["ApiId", "OperationName"])?;
    let at = At::new(&node, reader.resource.place());
    let key = at.required("RouteKey")?;
    let (method, path) = match key.text()?.split_once(' ') {
        None if key.text()? == "$default" => (None, RoutePath::Default),
        Some((method, path)) => (read_method(&key, method)?, read_path(&key, path)?),
        None => return Err(key.wrong("must be a method and a path, or $default")),
    };
    let integration = reader.target(&at.required("Target")?, &["AWS::ApiGatewayV2::Integration"])?;
    let resources = &reader.template.resources;
    let Some(resource) = resources.iter().find(|resource| resource.logical == integration) else {
        return Err(at.wrong(format!("names no integration: {integration}")));
    };
    let reader = Reader { resource, ..*reader };
    let used = ["IntegrationType", "IntegrationUri", "PayloadFormatVersion", "TimeoutInMillis"];
    let node = reader.properties(&used, &["ApiId", "Description", "IntegrationMethod", "CredentialsArn"])?;
    let at = At::new(&node, resource.place());
    at.required("IntegrationType")?.one_of(&["AWS_PROXY"])?;
    at.required("PayloadFormatVersion")?.one_of(&["2.0"])?;
    let function = reader.target(&at.required("IntegrationUri")?, &[FUNCTION])?;
    add(deployment, &key, RouteSpec { method, path, function, timeout: timeout(&at)? })
}

fn add(deployment: &mut Deployment, at: &At<'_>, route: RouteSpec) -> Result<(), TemplateError> {
    let same = |other: &&RouteSpec| other.method == route.method && other.path.same_shape(&route.path);
    if let Some(other) = deployment.routes.iter().find(same) {
        return Err(at.wrong(format!(
            "is a second route {}, beside that of {}",
            route.key(),
            other.function
        )));
    }
    deployment.routes.push(route);
    Ok(())
}

fn timeout(at: &At<'_>) -> Result<Duration, TemplateError> {
    let timeout = at.get("TimeoutInMillis")?.map_or(Ok(LONGEST), |at| at.number(50, LONGEST))?;
    Ok(Duration::from_millis(timeout))
}

fn read_method(at: &At<'_>, text: &str) -> Result<Option<String>, TemplateError> {
    let upper = text.to_ascii_uppercase();
    match upper.as_str() {
        "ANY" | "*" | "X-AMAZON-APIGATEWAY-ANY-METHOD" => Ok(None),
        method if METHODS.contains(&method) => Ok(Some(upper)),
        _ => Err(at.wrong(format!("is {text:?}, which is no method"))),
    }
}

fn read_path(at: &At<'_>, text: &str) -> Result<RoutePath, TemplateError> {
    RoutePath::parse(text).map_err(|what| at.wrong(format!("is {text:?}: {what}")))
}
