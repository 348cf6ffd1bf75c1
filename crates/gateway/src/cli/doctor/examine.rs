//! `ccpool doctor`: each prerequisite of serving, each failure with its mend.

use ccpool::config::{Config, RuntimeKind};
use serde_json::json;

use super::report::Check;
use super::{engine, host, nodes, redis};
use crate::cli::command::{Doctor, Global};
use crate::cli::output::print;
use crate::cli::place::load;
use crate::cli::{CliError, Exit};

/// Checks everything, even after a failure. The exit code is 1 if anything failed.
pub(crate) async fn run(global: &Global, arguments: &Doctor) -> Result<Exit, CliError> {
    let mut overrides = arguments.place.overrides();
    if let Some(listen) = arguments.listen {
        overrides = overrides.set_text("--listen", "http.listen", &listen.to_string());
    }
    let loaded = match load(global, overrides) {
        Ok(loaded) => loaded,
        // Nothing else can be checked without knowing where it is.
        Err(error) => {
            error.print(global.json);
            return Ok(Exit::Failed);
        }
    };
    let file = loaded.sources.file.as_ref();
    let place = file.map_or_else(
        || "valid (no file, built-in defaults)".to_owned(),
        |(path, _)| format!("valid ({})", path.display()),
    );
    let mut checks = vec![Check::ok("configuration", place)];
    let wrapper = arguments.place.wrapper.as_deref();
    checks.extend(examine(&loaded.config, wrapper).await);
    let all = checks.iter().all(|check| check.ok);
    if global.json {
        print(format_args!("{:#}", json!({"ok": all, "checks": checks})))?;
    } else {
        for check in checks.iter().filter(|check| !(global.quiet && check.ok)) {
            print(check.line())?;
        }
    }
    Ok(if all { Exit::Done } else { Exit::Failed })
}

async fn examine(config: &Config, wrapper: Option<&std::path::Path>) -> Vec<Check> {
    let mut checks = redis::examine(config).await;
    match config.runtime {
        RuntimeKind::Docker => checks.extend(engine::examine(config).await),
        RuntimeKind::Process => {
            checks.push(host::wrapper(wrapper));
            checks.push(host::claude(config).await);
        }
    }
    checks.extend(nodes::examine(config));
    checks.push(host::credential(config));
    checks.push(host::port(config).await);
    checks.push(host::disk(config));
    checks
}
