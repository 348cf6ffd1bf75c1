//! From a parsed command line to the command.

use std::future::Future;

use ccpool::config::Overrides;

use super::command::{Cli, Command};
use super::error::{CliError, Exit};
use super::gateway_client::GatewayClient;
use super::place::load;
use super::{
    config, doctor, image, mcp, pool, replay, run as run_command, serve, sessions, status,
};
use crate::logging;

/// Runs the command to its end. The configuration is read before the runtime starts.
pub(crate) fn run(cli: &Cli) -> Result<Exit, CliError> {
    let global = &cli.global;
    let client = || {
        let loaded = load(global, Overrides::new())?;
        GatewayClient::new(&loaded.config.http)
    };
    if let Command::Serve(arguments) = &cli.command {
        let loaded = logging::before(cli, || serve::configuration(global, arguments))?;
        return block_on(serve::run(cli, arguments, loaded));
    }
    logging::start(cli, None);
    match &cli.command {
        Command::Serve(_) => unreachable!("it is served above"),
        Command::Run(arguments) => {
            let loaded = load(global, arguments.place.overrides())?;
            block_on(run_command::run(global, arguments, loaded))
        }
        Command::Status => {
            let client = client()?;
            block_on(status::run(global, &client))
        }
        Command::Sessions(command) => {
            let client = client()?;
            block_on(sessions::run(global, &client, command))
        }
        Command::Mcp(command) => {
            let client = client()?;
            block_on(mcp::run(global, &client, command))
        }
        Command::Pool(command) => {
            let client = client()?;
            block_on(pool::run(global, &client, command))
        }
        Command::Doctor(arguments) => block_on(doctor::run(global, arguments)),
        Command::Image(command) => {
            let loaded = load(global, Overrides::new())?;
            block_on(image::run(global, command, &loaded.config))
        }
        Command::Config(command) => config::run(global, command),
        Command::Replay { file } => replay::run(file),
    }
}

fn block_on(work: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::internal(format!("cannot start the async runtime: {error}")))?
        .block_on(work)
}
