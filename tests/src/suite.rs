//! Runs each scenario, written once, on every host that can bear it.
//!
//! A theme is a file of scenarios that ends by naming them:
//!
//! ```ignore
//! willcall_tests::scenarios! {
//!     client: [a_job_goes_from_submit_to_file],
//!     operator: [a_revoked_token_is_dead_at_once],
//! }
//! ```
//!
//! A scenario that is not named is dead code, which the lints refuse.

use std::{pin::Pin, process::ExitCode};

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::{
    Aws, Host, OneBox,
    host::{Deployed, Directory},
};

/// A kind of host to run a scenario on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// `willcall serve`, the real binary.
    OneBox,
    /// The real function binaries on this machine.
    Aws,
    /// Whatever is at `WILLCALL_URL`.
    Deployed,
}

/// What a scenario needs of its host, beside HTTP and a token of scope `admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it runs on every host.
    Client,
    /// Other tokens, data sets of its own, or a look behind the scenes.
    Operator,
    /// That the host is one box.
    OneBox,
    /// That the host is AWS's, on this machine.
    Aws,
}

/// What a scenario does on a host.
pub type Run = fn(On) -> Pin<Box<dyn Future<Output = Result<()>>>>;

/// A scenario by name.
pub struct Scenario {
    /// The theme and its own name.
    pub name: String,
    /// What it needs.
    pub needs: Needs,
    /// Runs it.
    pub run: Run,
}

impl On {
    /// Every host of this run: one that is deployed, only where the environment names it.
    fn all() -> Vec<Self> {
        let mut all = vec![Self::OneBox, Self::Aws];
        all.extend(Deployed::is_named().then_some(Self::Deployed));
        all
    }

    fn name(self) -> &'static str {
        match self {
            Self::OneBox => "one_box",
            Self::Aws => "aws",
            Self::Deployed => "deployed",
        }
    }

    /// Why a scenario of that need does not concern this host: `None` where it does and must run; `Some(None)` where
    /// it is another host's alone.
    fn lacks(self, needs: Needs) -> Option<Option<&'static str>> {
        match (self, needs) {
            (_, Needs::Client)
            | (Self::OneBox, Needs::OneBox | Needs::Operator)
            | (Self::Aws, Needs::Aws | Needs::Operator) => None,
            (Self::Deployed, Needs::Operator) => Some(Some("needs the operator")),
            (_, Needs::OneBox | Needs::Aws) => Some(None),
        }
    }

    /// A host over the data set `numbers`, of exactly that many records; of at least as many where the host is
    /// deployed, so a scenario for every host asks for those below a number.
    pub async fn numbers(self, records: i64) -> Result<Host> {
        match self {
            Self::OneBox => Ok(OneBox::numbers(records).await?.into()),
            Self::Aws => Ok(Aws::numbers(records, |_| {}).await?.into()),
            Self::Deployed => Deployed::numbers(records).await,
        }
    }

    /// A host over `numbers` that may send webhooks to this machine.
    pub async fn with_receivers(self, records: i64) -> Result<Host> {
        match self {
            Self::OneBox => Ok(OneBox::with_receivers(records).await?.into()),
            Self::Aws => Ok(Aws::with_receivers(records, |_| {}).await?.into()),
            Self::Deployed => anyhow::bail!("a deployed host reaches what its operator lets it"),
        }
    }

    /// A host over the catalog of the directory.
    pub async fn directory(self, directory: Directory) -> Result<Host> {
        match self {
            Self::OneBox => Ok(OneBox::start(directory).await?.into()),
            Self::Aws => Ok(Aws::start(directory).await?.into()),
            Self::Deployed => anyhow::bail!("a deployed host has the catalog that it has"),
        }
    }

    /// A host over the data sets, each a name and a path within the catalog's directory, which `fill` has filled.
    pub async fn datasets(
        self,
        datasets: &[(&str, &str)],
        fill: impl FnOnce(&std::path::Path) -> Result<()>,
    ) -> Result<Host> {
        match self {
            Self::OneBox => Ok(OneBox::start(Directory::new(datasets, fill)?).await?.into()),
            Self::Aws => Ok(Aws::start(Directory::new(datasets, fill)?).await?.into()),
            Self::Deployed => anyhow::bail!("a deployed host has the data sets that it has"),
        }
    }
}

/// Runs the scenarios as the arguments of a test binary say.
pub fn run(scenarios: Vec<Scenario>) -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for on in On::all() {
        for scenario in &scenarios {
            let name = format!("{}::{}", on.name(), scenario.name);
            let run = scenario.run;
            let trial = Trial::test(name, move || trial(run, on));
            match on.lacks(scenario.needs) {
                None => trials.push(trial),
                Some(None) => {}
                // Not run, but named by every list of tests, so that nobody takes it for passed.
                Some(Some(why)) => trials.push(trial.with_kind(why).with_ignored_flag(true)),
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(run: Run, on: On) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(on)).map_err(|error| Failed::from(format!("{error:#}")))
}

/// Names the scenarios of a theme: its function `scenarios` answers them.
#[macro_export]
macro_rules! scenarios {
    ($($needs:ident: [$($name:ident),+ $(,)?]),+ $(,)?) => {
        pub(crate) fn scenarios() -> Vec<$crate::Scenario> {
            let theme = module_path!().split_once("::").map_or("", |(_, theme)| theme);
            vec![$($($crate::Scenario {
                name: format!("{theme}::{}", stringify!($name)),
                needs: $crate::scenarios!(@ $needs),
                run: |on| Box::pin($name(on)),
            }),+),+]
        }
    };
    (@ client) => { $crate::Needs::Client };
    (@ operator) => { $crate::Needs::Operator };
    (@ one_box) => { $crate::Needs::OneBox };
    (@ aws) => { $crate::Needs::Aws };
}
