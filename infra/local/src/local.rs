//! A deployment that runs.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use aws_config::SdkConfig;
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::{
    Endpoints, Error, Faults, InvokeError, LogLine, Options, Overrides, Service, TemplateError,
    back_end::{Clients, physical},
    deployment::{ApiSpec, Deployment, FunctionSpec},
    gateway::Gateway,
    lambda::{Function, Parts, trace},
    logs::Logs,
    proxy::{Proxy, Upstream, upstream},
    schedules::Schedule,
    serve::{Server, bind, serve},
    signature::Signer,
    sources::Mapping,
    template::{Names, Template},
};

/// How many environments a function may have where nothing says otherwise: enough for a test, and few enough for a
/// machine. AWS allows a new account 10 and an old one 1000, of all functions together.
const CONCURRENCY: usize = 50;
const SERVICES: [(Service, &str); 4] = [
    (Service::S3, "AWS_ENDPOINT_URL_S3"),
    (Service::Sqs, "AWS_ENDPOINT_URL_SQS"),
    (Service::DynamoDb, "AWS_ENDPOINT_URL_DYNAMODB"),
    (Service::Other, "AWS_ENDPOINT_URL"),
];

/// A running deployment. Dropped, it stops: its processes are killed, its files go.
#[derive(Debug)]
pub struct Local {
    url: String,
    clients: Clients,
    deployment: Deployment,
    names: Names,
    /// Of each function, as another program would need them.
    variables: BTreeMap<String, BTreeMap<String, String>>,
    functions: BTreeMap<String, Arc<Function>>,
    mappings: Vec<Arc<Mapping>>,
    schedules: Vec<Arc<Schedule>>,
    faults: Faults,
    logs: Logs,
    keep: bool,
    tasks: Vec<AbortOnDropHandle<()>>,
    servers: Vec<Server>,
    _directory: TempDir,
}

/// An execution environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentInfo {
    /// The logical id of its function.
    pub function: String,
    /// Its number, counted over the whole run.
    pub number: u64,
    /// Its process.
    pub pid: u32,
    /// Whether it is at work; else it is frozen, or starting.
    pub busy: bool,
}

/// Which environments of a function are killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// All.
    All,
    /// One, by chance; one that is at work where there is any.
    Any,
    /// That one.
    Number(u64),
}

impl Local {
    /// Makes what the template describes, and starts it. No function starts before it is invoked.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let (template, mut deployment) = read(&options.template, &options.parameters)?;
        let programs = programs(&deployment, &options.binaries)?;
        let overrides = &options.overrides;
        known(overrides, &deployment)?;
        let stack = format!("willcall-{}", &Uuid::new_v4().simple().to_string()[..12]);
        let (endpoints, clients) = (&options.back_end, Clients::new(&options.back_end));
        let listener = bind(options.port).await?;
        let port =
            listener.local_addr().map_err(|error| Error::Io("find the port".to_owned(), error))?.port();
        let domain = format!("127.0.0.1:{port}");
        let api = deployment.api.clone().unwrap_or_else(|| ApiSpec {
            logical: "none".to_owned(),
            stage: "$default".to_owned(),
            cors: None,
        });
        let url = match api.stage.as_str() {
            "$default" => format!("http://{domain}"),
            stage => format!("http://{domain}/{stage}"),
        };

        let mut names = clients.create(&deployment, overrides, &endpoints.region, &stack).await?;
        for function in &deployment.functions {
            let name = physical(&stack, &function.logical);
            let arn = format!("arn:aws:lambda:{}:{}:function:{name}", endpoints.region, names.account);
            names.set(&function.logical, "", name);
            names.set(&function.logical, "Arn", arn);
        }
        names.set(&api.logical, "", &api.logical);

        let directory = TempDir::with_prefix("willcall-aws-local-")
            .map_err(|error| Error::Io("make a directory for /tmp".to_owned(), error))?;
        let (faults, logs) = (Faults::default(), Logs::new(options.on_log.clone()));
        let (numbers, upstream) = (Arc::new(AtomicU64::new(0)), upstream());
        let (mut functions, mut variables, mut servers) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for mut spec in std::mem::take(&mut deployment.functions) {
            if let Some(timeout) = overrides.timeouts.get(&spec.logical) {
                spec.timeout = *timeout;
            }
            let logical = spec.logical.clone();
            let base = base_variables(&template, &spec, &names, endpoints, overrides, &url)
                .map_err(|error| Error::Template(options.template.clone(), error))?;
            let mut own = base.clone();
            if options.faults {
                servers.extend(proxies(&logical, endpoints, &upstream, &faults, &mut own).await?);
            }
            let limit = overrides.concurrency.get(&logical).copied().or(spec.reserved).unwrap_or(CONCURRENCY);
            let function = Function::new(Parts {
                arn: names.get(&logical, "Arn").unwrap_or_default().to_owned(),
                program: programs[&logical].clone(),
                variables: overridden(own, overrides, &logical),
                limit,
                directory: directory.path().to_owned(),
                logs: logs.clone(),
                numbers: Arc::clone(&numbers),
                spec,
            });
            variables.insert(logical.clone(), overridden(base, overrides, &logical));
            functions.insert(logical, Arc::new(function));
        }

        let mut local = Self {
            url,
            clients,
            names,
            variables,
            functions,
            mappings: Vec::new(),
            schedules: Vec::new(),
            faults,
            logs,
            keep: options.keep,
            tasks: Vec::new(),
            servers,
            _directory: directory,
            deployment,
        };
        local.connect(overrides, &endpoints.region)?;
        let gateway = Arc::new(Gateway {
            api,
            account: local.names.account.clone(),
            routes: local.deployment.routes.clone(),
            functions: local.functions.clone(),
            timeout: overrides.integration_timeout,
            domain,
        });
        local.servers.push(serve(listener, gateway.handler())?);
        Ok(local)
    }

    /// Starts what invokes functions besides the HTTP API.
    fn connect(&mut self, overrides: &Overrides, region: &str) -> Result<(), Error> {
        for spec in &self.deployment.sources {
            let queue = self.deployment.queues.iter().find(|queue| queue.logical == spec.queue);
            let visibility = overrides.visibility.get(&spec.queue).copied();
            let visibility = visibility.or(queue.map(|queue| queue.visibility)).unwrap_or_default();
            self.mappings.push(Arc::new(Mapping {
                function: Arc::clone(self.function(&spec.function)?),
                sqs: self.clients.sqs.clone(),
                url: self.queue_url(&spec.queue)?.to_owned(),
                arn: self.names.get(&spec.queue, "Arn").unwrap_or_default().to_owned(),
                region: region.to_owned(),
                visibility,
                faults: self.faults.clone(),
                // By the proxies, which are all the servers so far.
                told: !self.servers.is_empty(),
                spec: spec.clone(),
            }));
        }
        for spec in &self.deployment.schedules {
            self.schedules.push(Arc::new(Schedule {
                function: Arc::clone(self.function(&spec.function)?),
                every: overrides.schedules.get(&spec.function).copied().unwrap_or(spec.every),
                account: self.names.account.clone(),
                region: region.to_owned(),
                spec: spec.clone(),
            }));
        }
        let mappings = self.mappings.iter().map(|mapping| tokio::spawn(Arc::clone(mapping).run()));
        let schedules = self.schedules.iter().map(|schedule| tokio::spawn(Arc::clone(schedule).run()));
        self.tasks = mappings.chain(schedules).map(AbortOnDropHandle::new).collect();
        Ok(())
    }

    /// The address of the HTTP API, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The configuration of clients that speak to the back end directly, past all faults.
    pub fn sdk(&self) -> &SdkConfig {
        &self.clients.sdk
    }

    /// A client of DynamoDB, past all faults.
    pub fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        &self.clients.dynamodb
    }

    /// A client of S3, past all faults.
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        &self.clients.s3
    }

    /// A client of SQS, past all faults.
    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        &self.clients.sqs
    }

    /// The name of the template's table; an error unless it has one table.
    pub fn table(&self) -> Result<&str, Error> {
        match self.deployment.tables.as_slice() {
            [table] => self.name("table", &table.logical),
            _ => Err(Error::Unknown { kind: "single", name: "table".to_owned() }),
        }
    }

    /// The name of the template's bucket; an error unless it has one bucket.
    pub fn bucket(&self) -> Result<&str, Error> {
        match self.deployment.buckets.as_slice() {
            [bucket] => self.name("bucket", &bucket.logical),
            _ => Err(Error::Unknown { kind: "single", name: "bucket".to_owned() }),
        }
    }

    /// The address of a queue, by its logical id.
    pub fn queue_url(&self, logical: &str) -> Result<&str, Error> {
        let known = self.deployment.queues.iter().any(|queue| queue.logical == logical);
        if known { self.name("queue", logical) } else { Err(unknown("queue", logical)) }
    }

    /// The variables that a function has from the template and from Lambda, with which another program can work on the
    /// same things: endpoints are those of the back end itself, past all faults.
    pub fn variables(&self, function: &str) -> Result<&BTreeMap<String, String>, Error> {
        self.variables.get(function).ok_or_else(|| unknown("function", function))
    }

    /// The logical ids of all functions.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    /// What goes wrong between functions and the back end.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The environments of a function that live.
    pub fn environments(&self, function: &str) -> Result<Vec<EnvironmentInfo>, Error> {
        Ok(self.function(function)?.environments())
    }

    /// Kills environments of a function with SIGKILL, and says how many.
    pub fn kill(&self, function: &str, victim: Victim) -> Result<usize, Error> {
        Ok(self.function(function)?.kill(victim))
    }

    /// Invokes a function, and waits for its answer.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Result<Value, InvokeError>, Error> {
        Ok(self.function(function)?.invoke(event.to_string().into(), &trace()).await.map(json))
    }

    /// Invokes a function as its schedule would, now, and waits for its answer.
    pub async fn fire_schedule(&self, function: &str) -> Result<Result<Value, InvokeError>, Error> {
        let schedule = self.schedules.iter().find(|schedule| schedule.spec.function == function);
        Ok(schedule.ok_or_else(|| unknown("schedule of", function))?.fire().await.map(json))
    }

    /// Hands a message of that body to the function that the queue invokes, `times` times at once and past the queue, as
    /// SQS sometimes does.
    pub async fn deliver(
        &self,
        queue: &str,
        body: &str,
        times: usize,
    ) -> Result<Vec<Result<Value, InvokeError>>, Error> {
        let mapping = self.mappings.iter().find(|mapping| mapping.spec.queue == queue);
        let mapping = mapping.ok_or_else(|| unknown("event source", queue))?;
        let (id, trace) = (Uuid::new_v4().to_string(), trace());
        let deliveries = (0..times).map(|time| {
            let event = mapping.event_of(&id, &format!("{id}-{time}"), body).to_string();
            mapping.function.invoke(event.into(), &trace)
        });
        Ok(futures::future::join_all(deliveries.collect::<Vec<_>>())
            .await
            .into_iter()
            .map(|answer| answer.map(json))
            .collect())
    }

    /// All lines that functions logged so far.
    pub fn logs(&self) -> Vec<LogLine> {
        self.logs.all()
    }

    /// Stops, and removes what was made on the back end unless it was to be kept.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.halt();
        if self.keep {
            return Ok(());
        }
        self.clients.remove(&self.deployment, &self.names).await
    }

    fn halt(&mut self) {
        self.tasks.clear();
        self.functions.values().for_each(|function| function.stop());
        self.servers.clear();
    }

    fn function(&self, logical: &str) -> Result<&Arc<Function>, Error> {
        self.functions.get(logical).ok_or_else(|| unknown("function", logical))
    }

    fn name(&self, kind: &'static str, logical: &str) -> Result<&str, Error> {
        self.names.get(logical, "").ok_or_else(|| unknown(kind, logical))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Whether the template is one that [`Local::start`] would run.
pub fn check(template: &Path, parameters: &BTreeMap<String, String>) -> Result<(), Error> {
    read(template, parameters).map(|_| ())
}

fn read(path: &Path, parameters: &BTreeMap<String, String>) -> Result<(Template, Deployment), Error> {
    let text = fs::read_to_string(path).map_err(|error| Error::Unreadable(path.to_owned(), error))?;
    let wrong = |error: TemplateError| Error::Template(path.to_owned(), error);
    let template = Template::read(&text, parameters).map_err(wrong)?;
    let deployment = template.deployment().map_err(wrong)?;
    Ok((template, deployment))
}

fn programs(deployment: &Deployment, binaries: &Path) -> Result<BTreeMap<String, std::path::PathBuf>, Error> {
    let program = |function: &FunctionSpec| {
        let path = binaries.join(&function.binary);
        let path = path.canonicalize().ok().filter(|path| path.is_file()).ok_or_else(|| Error::NoBinary {
            function: function.logical.clone(),
            path: binaries.join(&function.binary),
        })?;
        Ok((function.logical.clone(), path))
    };
    deployment.functions.iter().map(program).collect()
}

/// An override of what is not there would change nothing, and the test would not know.
fn known(overrides: &Overrides, deployment: &Deployment) -> Result<(), Error> {
    let function = |name: &&String| !deployment.functions.iter().any(|function| function.logical == **name);
    let queue = |name: &&String| !deployment.queues.iter().any(|queue| queue.logical == **name);
    let schedule = |name: &&String| !deployment.schedules.iter().any(|schedule| schedule.function == **name);
    let Overrides {
        function_variables, timeouts, concurrency, visibility, max_receive_count, schedules, ..
    } = overrides;
    let mut functions = function_variables.keys().chain(timeouts.keys()).chain(concurrency.keys());
    if let Some(name) = functions.find(function) {
        return Err(unknown("function", name));
    }
    if let Some(name) = visibility.keys().chain(max_receive_count.keys()).find(queue) {
        return Err(unknown("queue", name));
    }
    schedules.keys().find(schedule).map_or(Ok(()), |name| Err(unknown("schedule of", name)))
}

/// The variables that the template gives a function, and those of Lambda.
fn base_variables(
    template: &Template,
    spec: &FunctionSpec,
    names: &Names,
    endpoints: &Endpoints,
    overrides: &Overrides,
    url: &str,
) -> Result<BTreeMap<String, String>, TemplateError> {
    let mut variables = template.variables(&spec.logical, names)?;
    let public = variables.get_mut("WILLCALL_PUBLIC_URL").filter(|address| address.is_empty());
    if let Some(address) = public {
        // The domain name of an event has no scheme, and here it is not https.
        url.clone_into(address);
    }
    variables.extend(overrides.variables.clone());
    let name = names.get(&spec.logical, "").unwrap_or_default();
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    set("AWS_LAMBDA_FUNCTION_NAME", name);
    set("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &spec.memory.to_string());
    set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
    set("AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{name}"));
    set("_HANDLER", &spec.handler);
    set("AWS_REGION", &endpoints.region);
    set("AWS_DEFAULT_REGION", &endpoints.region);
    set("AWS_ACCESS_KEY_ID", &endpoints.access_key);
    set("AWS_SECRET_ACCESS_KEY", &endpoints.secret_key);
    if let Some(token) = &endpoints.session_token {
        set("AWS_SESSION_TOKEN", token);
    }
    // Lambda has no such address; without this a program without credentials would look for it.
    set("AWS_EC2_METADATA_DISABLED", "true");
    set("TZ", ":UTC");
    set("LANG", "en_US.UTF-8");
    set("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin");
    for (service, variable) in SERVICES {
        if let Some(endpoint) = endpoints.of(service) {
            set(variable, endpoint);
        }
    }
    Ok(variables)
}

/// A function's own overrides come last; those that are empty take a variable away.
fn overridden(
    mut variables: BTreeMap<String, String>,
    overrides: &Overrides,
    logical: &str,
) -> BTreeMap<String, String> {
    for (name, value) in overrides.function_variables.get(logical).into_iter().flatten() {
        match value.is_empty() {
            true => variables.remove(name),
            false => variables.insert(name.clone(), value.clone()),
        };
    }
    variables
}

/// A proxy for each service, and their addresses among the function's variables.
async fn proxies(
    logical: &str,
    endpoints: &Endpoints,
    upstream: &Upstream,
    faults: &Faults,
    variables: &mut BTreeMap<String, String>,
) -> Result<Vec<Server>, Error> {
    let mut servers = Vec::new();
    for (service, variable) in SERVICES {
        let Some(endpoint) = endpoints.of(service) else { continue };
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !endpoint.starts_with("http://") {
            return Err(Error::NoProxy(endpoint));
        }
        let (function, upstream, faults) = (logical.to_owned(), upstream.clone(), faults.clone());
        let Endpoints { access_key, secret_key, .. } = endpoints.clone();
        let signer = Signer { access_key, secret_key };
        let server = Proxy { function, service, endpoint, upstream, faults, signer }.start().await?;
        variables.insert(variable.to_owned(), format!("http://{}", server.address));
        servers.push(server);
    }
    Ok(servers)
}

fn unknown(kind: &'static str, name: &str) -> Error {
    Error::Unknown { kind, name: name.to_owned() }
}

/// What is not JSON is text.
fn json(answer: Bytes) -> Value {
    serde_json::from_slice(&answer).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&answer)))
}
