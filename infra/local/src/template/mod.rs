//! The SAM template: read as CloudFormation would, as far as it says what runs and what it runs on. What is not
//! understood there is an error that names the place; what only AWS can have (policies, alarms, dashboards) is passed
//! over, but what it refers to must exist.

mod api;
mod at;
mod evaluate;
mod functions;
mod parameters;
mod references;
mod sources;
mod storage;
#[cfg(test)]
mod tests;
mod yaml;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

pub(crate) use self::evaluate::Names;
use self::{
    at::At,
    evaluate::{Parameter, Scope},
    yaml::{Kind, Node},
};
use crate::deployment::Deployment;

/// Something in the template is wrong, or is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Where: `Resources.SubmitFunction.Properties.Timeout`.
    pub place: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl TemplateError {
    pub(crate) fn at(place: &str, line: usize, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {}): {}", self.place, self.line, self.what)
    }
}

impl std::error::Error for TemplateError {}

/// A template whose parameters have values and whose conditions are decided.
#[derive(Debug)]
pub(crate) struct Template {
    root: Node,
    parameters: BTreeMap<String, Parameter>,
    conditions: BTreeMap<String, bool>,
    resources: Vec<Resource>,
}

/// A resource that the conditions let exist.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) logical: String,
    pub(crate) kind: String,
    properties: Node,
}

impl Resource {
    fn place(&self) -> String {
        format!("Resources.{}.Properties", self.logical)
    }
}

impl Template {
    /// Reads a template. Parameters that are not given have their defaults.
    pub(crate) fn read(text: &str, given: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let root = yaml::read(text)?;
        let top = At::new(&root, "the template");
        top.only(&[
            "AWSTemplateFormatVersion",
            "Transform",
            "Description",
            "Metadata",
            "Parameters",
            "Mappings",
            "Conditions",
            "Rules",
            "Globals",
            "Resources",
            "Outputs",
        ])?;
        let parameters = parameters::read(&root, given)?;
        let mut template = Self { root, parameters, conditions: BTreeMap::new(), resources: Vec::new() };
        template.decide()?;
        template.gather()?;
        references::check(&template.root, &template.parameters)?;
        Ok(template)
    }

    /// What runs, and on what, with logical ids for names.
    pub(crate) fn deployment(&self) -> Result<Deployment, TemplateError> {
        let names = self.symbols();
        let mut deployment = Deployment::default();
        for resource in &self.resources {
            let reader = Reader { template: self, names: &names, resource };
            match resource.kind.as_str() {
                "AWS::Serverless::Function" => functions::read(&reader, &mut deployment)?,
                "AWS::Serverless::HttpApi" => api::read(&reader, &mut deployment)?,
                "AWS::SQS::Queue" => storage::queue(&reader, &mut deployment)?,
                "AWS::DynamoDB::Table" => storage::table(&reader, &mut deployment)?,
                "AWS::S3::Bucket" => storage::bucket(&reader, &mut deployment)?,
                "AWS::Lambda::EventSourceMapping" => sources::mapping(&reader, &mut deployment)?,
                "AWS::ApiGatewayV2::Route" => api::route(&reader, &mut deployment)?,
                "AWS::ApiGatewayV2::Integration" | "AWS::Lambda::Permission" => {}
                "AWS::S3::BucketPolicy" | "AWS::SQS::QueuePolicy" => {}
                kind => {
                    let ours =
                        ["Serverless", "Lambda", "ApiGateway", "ApiGatewayV2", "SQS", "DynamoDB", "S3"];
                    let others = ["Scheduler", "Events", "Pipes", "StepFunctions"];
                    let service = kind.split("::").nth(1).unwrap_or_default();
                    if ours.contains(&service) || others.contains(&service) {
                        return Err(TemplateError::at(
                            &format!("Resources.{}", resource.logical),
                            resource.properties.line,
                            format!("is a {kind}, which the local runner does not know"),
                        ));
                    }
                }
            }
        }
        self.implicit_api(&names, &mut deployment)?;
        deployment.check()?;
        Ok(deployment)
    }

    /// The variables that the template gives a function.
    pub(crate) fn variables(
        &self,
        function: &str,
        names: &Names,
    ) -> Result<BTreeMap<String, String>, TemplateError> {
        let Some(resource) = self.resources.iter().find(|resource| resource.logical == function) else {
            return Err(TemplateError::at("Resources", self.root.line, format!("has no {function}")));
        };
        functions::variables(&Reader { template: self, names, resource })
    }

    /// What names stand for before anything exists. ARNs end with logical ids.
    fn symbols(&self) -> Names {
        let mut names = Names::new("eu-central-1", "000000000000", "willcall");
        for Resource { logical, kind, .. } in &self.resources {
            for (attribute, value) in symbol(kind, logical) {
                names.set(logical, attribute, value);
            }
        }
        names
    }

    fn section(&self, name: &str) -> Option<&Node> {
        let Kind::Map(entries) = &self.root.kind else { return None };
        entries.iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    fn scope<'a>(&'a self, names: &'a Names) -> Scope<'a> {
        Scope {
            parameters: &self.parameters,
            conditions: &self.conditions,
            mappings: self.section("Mappings"),
            names,
        }
    }

    /// Conditions may name each other in any order.
    fn decide(&mut self) -> Result<(), TemplateError> {
        let Some(section) = self.section("Conditions").cloned() else { return Ok(()) };
        let names = Names::new("eu-central-1", "000000000000", "willcall");
        let mut open = At::new(&section, "Conditions").entries()?;
        while !open.is_empty() {
            let mut left = Vec::new();
            let before = open.len();
            let mut complaint = None;
            for (name, at) in open {
                match self.scope(&names).holds(at.node, &at.place) {
                    Ok(holds) => {
                        self.conditions.insert(name.to_owned(), holds);
                    }
                    Err(error) => {
                        complaint.get_or_insert(error);
                        left.push((name, at));
                    }
                }
            }
            if let Some(error) = complaint
                && left.len() == before
            {
                return Err(error);
            }
            open = left;
        }
        Ok(())
    }

    fn gather(&mut self) -> Result<(), TemplateError> {
        let section = At::new(&self.root, "the template").required("Resources")?;
        let mut resources = Vec::new();
        for (logical, at) in (At { place: "Resources".to_owned(), ..section }).entries()? {
            let kind = at.required("Type")?.text()?.to_owned();
            if let Some(condition) = at.get("Condition")? {
                let name = condition.text()?;
                match self.conditions.get(name) {
                    Some(true) => {}
                    Some(false) => continue,
                    None => return Err(condition.wrong(format!("names no condition: {name}"))),
                }
            }
            let empty = || Node { line: at.node.line, kind: Kind::Map(Vec::new()) };
            let properties = at.get("Properties")?.map_or_else(empty, |at| at.node.clone());
            resources.push(Resource { logical: logical.to_owned(), kind, properties });
        }
        self.resources = resources;
        Ok(())
    }

    /// Routes of functions that name no API belong to one that `Globals` describes.
    fn implicit_api(&self, names: &Names, deployment: &mut Deployment) -> Result<(), TemplateError> {
        let explicit = self.resources.iter().any(|resource| resource.kind == "AWS::Serverless::HttpApi");
        if explicit || deployment.routes.is_empty() {
            return Ok(());
        }
        let properties = Node { line: self.root.line, kind: Kind::Map(Vec::new()) };
        let resource = Resource {
            logical: "ServerlessHttpApi".to_owned(),
            kind: "AWS::Serverless::HttpApi".to_owned(),
            properties,
        };
        api::read(&Reader { template: self, names, resource: &resource }, deployment)
    }
}

/// The attributes of a resource as they are known before it exists.
fn symbol(kind: &str, logical: &str) -> Vec<(&'static str, String)> {
    let arn =
        |service: &str, rest: &str| format!("arn:aws:{service}:eu-central-1:000000000000:{rest}{logical}");
    match kind {
        "AWS::Serverless::Function" => {
            vec![("", logical.to_owned()), ("Arn", arn("lambda", "function:"))]
        }
        "AWS::SQS::Queue" => vec![
            ("", format!("https://sqs.eu-central-1.amazonaws.com/000000000000/{logical}")),
            ("QueueUrl", format!("https://sqs.eu-central-1.amazonaws.com/000000000000/{logical}")),
            ("QueueName", logical.to_owned()),
            ("Arn", arn("sqs", "")),
        ],
        "AWS::DynamoDB::Table" => vec![("", logical.to_owned()), ("Arn", arn("dynamodb", "table/"))],
        "AWS::S3::Bucket" => vec![("", logical.to_owned()), ("Arn", format!("arn:aws:s3:::{logical}"))],
        "AWS::Serverless::HttpApi" | "AWS::ApiGatewayV2::Api" | "AWS::ApiGatewayV2::Integration" => {
            vec![("", logical.to_owned())]
        }
        _ => Vec::new(),
    }
}

/// Reads one resource.
struct Reader<'a> {
    template: &'a Template,
    names: &'a Names,
    resource: &'a Resource,
}

impl Reader<'_> {
    fn logical(&self) -> String {
        self.resource.logical.clone()
    }

    /// The properties of these names, with `Globals` behind them, free of functions. The others must be among
    /// `passed_over`.
    fn properties(&self, used: &[&str], passed_over: &[&str]) -> Result<Node, TemplateError> {
        let place = self.resource.place();
        let own = At::new(&self.resource.properties, &place);
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut merge = |at: At<'_>| -> Result<(), TemplateError> {
            for (key, at) in at.entries()? {
                if passed_over.contains(&key) {
                    continue;
                }
                if !used.contains(&key) {
                    return Err(at.wrong("is not understood by the local runner"));
                }
                let Some(value) = self.template.scope(self.names).evaluate(at.node, &at.place)? else {
                    continue;
                };
                match entries.iter_mut().find(|(known, _)| known == key) {
                    Some((_, known)) => merge_into(known, value),
                    None => entries.push((key.to_owned(), value)),
                }
            }
            Ok(())
        };
        let section = match self.resource.kind.as_str() {
            "AWS::Serverless::Function" => Some("Function"),
            "AWS::Serverless::HttpApi" => Some("HttpApi"),
            _ => None,
        };
        if let (Some(section), Some(globals)) = (section, self.template.section("Globals"))
            && let Some(globals) = At::new(globals, "Globals").get(section)?
        {
            merge(globals)?;
        }
        merge(own)?;
        Ok(Node { line: self.resource.properties.line, kind: Kind::Map(entries) })
    }

    /// The queue that an ARN names.
    fn queue(&self, at: &At<'_>) -> Result<String, TemplateError> {
        if !at.text()?.starts_with("arn:") {
            return Err(at.wrong("must be an ARN"));
        }
        self.target(at, &["AWS::SQS::Queue"])
    }

    /// The logical id at the end of a symbolic ARN or name, which must be a resource of one of the kinds.
    fn target(&self, at: &At<'_>, kinds: &[&str]) -> Result<String, TemplateError> {
        let text = at.text()?;
        let known: BTreeSet<&str> = self
            .template
            .resources
            .iter()
            .filter(|resource| kinds.contains(&resource.kind.as_str()))
            .map(|resource| resource.logical.as_str())
            .collect();
        let mut parts = text.split([':', '/']).rev();
        let last = match parts.next() {
            Some("invocations") => parts.next(),
            last => last,
        };
        match last.and_then(|last| known.get(last)) {
            Some(logical) => Ok((*logical).to_owned()),
            None => Err(at.wrong(format!("names no {} of this template: {text}", kinds.join(" or ")))),
        }
    }
}

/// As SAM merges `Globals` into a resource: maps by key, lists one after the other, all else replaced.
fn merge_into(known: &mut Node, value: Node) {
    match (&mut known.kind, value.kind) {
        (Kind::Map(known), Kind::Map(entries)) => {
            for (key, value) in entries {
                match known.iter_mut().find(|(other, _)| *other == key) {
                    Some((_, known)) => merge_into(known, value),
                    None => known.push((key, value)),
                }
            }
        }
        (Kind::List(known), Kind::List(items)) => known.extend(items),
        (_, kind) => *known = Node { line: value.line, kind },
    }
}
