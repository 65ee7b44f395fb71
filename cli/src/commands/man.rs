//! `man`: the manual, a page for each command.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::{
    args::Cli,
    failure::{Exit, Failure},
    output::{note, print},
};

/// Write the manual.
#[derive(Args)]
pub(crate) struct ManArgs {
    /// The command whose page goes to stdout: dataset show [default: willcall itself]
    command: Vec<String>,
    /// Write the pages of all commands into this directory, which is made where it is missing
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: ManArgs) -> Result<(), Failure> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    if let Some(directory) = &args.dir {
        let pages = write_all(&root, directory).map_err(|error| {
            Failure::caused(Exit::Failed, format!("cannot write into {}", directory.display()), &error)
        })?;
        note(format!("{pages} pages in {}", directory.display()));
        return Ok(());
    }
    let mut command = &root;
    for name in &args.command {
        command = command.find_subcommand(name).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("{} has no command {name:?}", command.get_name()))
                .advice("`willcall help` lists the commands")
        })?;
    }
    let mut page = Vec::new();
    Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| Failure::caused(Exit::Failed, "cannot write the page", &error))?;
    print(&String::from_utf8_lossy(&page))
}

/// Writes the page of the command and of all beneath it, and answers how many.
fn write_all(command: &clap::Command, directory: &Path) -> io::Result<usize> {
    fs::create_dir_all(directory)?;
    let beneath =
        command.get_subcommands().filter(|found| !found.is_hide_set() && found.get_name() != "help");
    let mut pages = 1;
    for subcommand in beneath {
        pages += write_all(subcommand, directory)?;
    }
    Man::new(command.clone()).generate_to(directory)?;
    Ok(pages)
}
