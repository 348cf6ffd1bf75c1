//! Set-up and checks: `cargo xtask image|setup|test`.
//!
//! Progress goes to stderr; stdout carries results only.

mod check;
mod cleanup;
mod daemon;
mod http;
mod invocation;
mod progress;
mod setup;
mod summary;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::check::TestArguments;
use crate::setup::{Needs, Parts};
use crate::workspace::Workspace;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Set-up and checks of ccpool")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the agent's container image with what it needs; prints its tag.
    Image,
    /// Get everything that tests and demo need; prints what was found.
    Setup,
    /// Run every check that CI runs, the tests on real parts included.
    Test(TestArguments),
}

fn main() -> ExitCode {
    if let Err(error) = cleanup::on_signals() {
        eprintln!("error: cannot handle signals: {error}");
        return ExitCode::FAILURE;
    }
    let code = match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    };
    cleanup::run_all();
    code
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Image => {
            let parts = Parts::obtain(&workspace, Needs::Image)?;
            println!("{}", parts.image_tag()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Setup => {
            let parts = Parts::obtain(&workspace, Needs::Everything)?;
            print!("{parts}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Test(arguments) => check::run(&workspace, &arguments),
    }
}
