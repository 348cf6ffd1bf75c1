use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::docker;

/// Where the figures come from; nothing that names the machine.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    kernel: String,
    docker: String,
    pub(crate) redis: String,
    pub(crate) claude: String,
    /// The load of one minute, when measuring began.
    load: f64,
}

impl Machine {
    pub(crate) async fn look() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let processor = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map(|(_, name)| name.trim().to_owned());
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor: processor.unwrap_or_else(|| "unknown".to_owned()),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            docker: docker::run(&["version", "--format", "{{.Server.Version}}"]).await?,
            redis: String::new(),
            claude: String::new(),
            load: load(),
        })
    }
}

/// The load of one minute.
pub(crate) fn load() -> f64 {
    let told = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let one = told.split(' ').next().and_then(|one| one.parse().ok());
    one.unwrap_or(0.0)
}

/// What the wrapper in this container occupies, in bytes (VmRSS). None where the engine is not on
/// this host.
pub(crate) async fn wrapper_rss(container: &str) -> Result<Option<u64>> {
    let pid = docker::run(&["inspect", "--format", "{{.State.Pid}}", container]).await?;
    let init: u32 = pid.parse().context("docker told no process id")?;
    let found = fs::read_dir("/proc")?.find_map(|entry| {
        let path = entry.ok()?.path();
        let status = fs::read_to_string(path.join("status")).ok()?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        let wrapper = field("Name:")? == "ccpool-wrapper";
        let child = field("PPid:")?.parse::<u32>().ok()? == init;
        let kilobytes: u64 = field("VmRSS:")?.strip_suffix(" kB")?.parse().ok()?;
        (wrapper && child).then_some(kilobytes * 1024)
    });
    Ok(found)
}
