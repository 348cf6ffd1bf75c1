//! `ccpool`: a warm pool of Claude Code containers behind one gateway.
//!
//! Arguments and configuration are read before any async runtime exists; what can be refused is
//! refused there, in one line.

mod cli;
mod gateway;
mod http;
mod logging;
mod traces;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli::run(&cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            error.print(cli.global.json);
            error.exit().into()
        }
    }
}
