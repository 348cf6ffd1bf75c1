use std::path::PathBuf;

use anyhow::Result;

use super::client::PoolContainer;
use super::docker::DockerView;
use super::processes;

/// The name under which the CLI runs.
const CLAUDE: &str = "claude";

/// Looks at containers past the gateway, so that its word need not be taken.
#[derive(Debug)]
pub(crate) enum Witness {
    /// Asks the Docker Engine.
    Docker(DockerView),
    /// Looks at this machine's processes and at the containers' folders, which lie in this one.
    Process(PathBuf),
}

impl Witness {
    /// A line for each of these containers, with a line of titles.
    pub(crate) fn table(&self, containers: &[PoolContainer]) -> Result<String> {
        let rows = match self {
            Self::Docker(docker) => {
                let mut rows =
                    vec![["CONTAINER ID", "NAME", "STATUS", "POOL STATE"].map(str::to_owned)];
                for seen in docker.containers()? {
                    let state = containers
                        .iter()
                        .find(|known| Some(known.container.as_str()) == seen.container())
                        .map_or("-", |known| known.state.as_str());
                    rows.push(
                        [seen.short_id(), seen.name(), seen.status(), state].map(str::to_owned),
                    );
                }
                rows
            }
            Self::Process(_) => {
                let mut rows = vec![["CLAUDE PID", "NAME", "AGE", "POOL STATE"].map(str::to_owned)];
                for known in containers {
                    let pid = self.claude_pid(&known.container)?;
                    rows.push([
                        pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                        known.name.clone(),
                        format!("{} s", known.age_ms / 1000),
                        known.state.clone(),
                    ]);
                }
                rows
            }
        };
        Ok(aligned(&rows))
    }

    /// The process id of the CLI in a container, as this host sees it; none where the engine
    /// cannot tell, or is another host's.
    pub(crate) fn claude_pid(&self, container: &str) -> Result<Option<u32>> {
        let pids = match self {
            Self::Docker(docker) => {
                let found = docker
                    .containers()?
                    .into_iter()
                    .find(|seen| seen.container() == Some(container));
                match found {
                    // `top` needs a `ps` on the engine's host.
                    Some(seen) => docker
                        .processes(seen.short_id(), CLAUDE)
                        .unwrap_or_default(),
                    None => Vec::new(),
                }
            }
            Self::Process(folder) => processes::within(&folder.join(container), CLAUDE),
        };
        Ok(pids.first().copied())
    }

    /// Whether nothing is left of a container.
    pub(crate) fn is_gone(&self, container: &str) -> Result<bool> {
        match self {
            Self::Docker(docker) => Ok(docker
                .containers()?
                .iter()
                .all(|seen| seen.container() != Some(container))),
            Self::Process(folder) => {
                let own = folder.join(container);
                Ok(!own.exists() && processes::within(&own, CLAUDE).is_empty())
            }
        }
    }

    /// What an operator would type to see the same.
    pub(crate) fn command(&self) -> &'static str {
        match self {
            Self::Docker(_) => "docker ps -a",
            Self::Process(_) => "ps",
        }
    }
}

fn aligned(rows: &[[String; 4]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..4).map(width).collect();
    let line = |row: &[String; 4]| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["ID", "NAME", "STATUS", "STATE"],
            ["1234", "a", "Up 3 seconds", "warm"],
        ]
        .map(|row| row.map(str::to_owned));
        assert_eq!(
            aligned(&rows),
            "ID    NAME  STATUS        STATE\n1234  a     Up 3 seconds  warm"
        );
    }
}
