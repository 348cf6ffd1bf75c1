//! Set-up, checks, demo and benchmark: `cargo xtask bench|chaos|demo|fuzz|image|interop|setup|test`.
//!
//! Progress goes to stderr; stdout carries results only.

mod bench;
mod chaos;
mod check;
mod cleanup;
mod daemon;
mod demo;
mod fuzz;
mod http;
mod interop;
mod invocation;
mod progress;
mod setup;
mod summary;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench::BenchArguments;
use crate::chaos::ChaosArguments;
use crate::check::TestArguments;
use crate::demo::DemoArguments;
use crate::fuzz::FuzzArguments;
use crate::interop::InteropArguments;
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
    /// Measure the whole system beside its alternatives; prints a table, or one JSON object.
    Bench(BenchArguments),
    /// Kill, freeze and cut off every part of a running pool; counts what must not happen.
    Chaos(ChaosArguments),
    /// Throw bytes at everything that takes bytes from outside; the kept corpus first.
    Fuzz(FuzzArguments),
    /// Build the agent's container image with what it needs; prints its tag.
    Image,
    /// Let OpenClaw, LiteLLM and the official client talk to a real gateway; fetches them first.
    Interop(InteropArguments),
    /// Start a warm pool, send two prompts, show where the time went, and clean up.
    Demo(DemoArguments),
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
        Command::Fuzz(arguments) => fuzz::run(&workspace, &arguments),
        Command::Interop(arguments) => interop::run(&workspace, &arguments),
        Command::Demo(arguments) => demo::run(&workspace, &arguments),
        Command::Setup => {
            let parts = Parts::obtain(&workspace, Needs::Everything)?;
            print!("{parts}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench(arguments) => bench::run(&workspace, &arguments),
        Command::Chaos(arguments) => chaos::run(&workspace, &arguments),
        Command::Test(arguments) => check::run(&workspace, &arguments),
    }
}
