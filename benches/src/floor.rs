use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ccpool_protocol::input::InputItem;
use ccpool_protocol::stdin::StdinLine;
use nix::sys::stat::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{OpenOptions, Receiver, Sender};

use crate::docker;
use crate::first_delta::{Mark, Marks, TurnTimes};
use crate::recipe::Recipe;
use crate::site::Site;

const BOOT: Duration = Duration::from_secs(30);
const TURN: Duration = Duration::from_secs(30);

/// What Docker gives a container when nothing is said, and the least it takes.
const USUAL_SHARES: u32 = 1024;
const LEAST_SHARES: u32 = 2;

/// How much a booting container's processes count against those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// As much as theirs.
    Usual,
    /// They run when nobody else wants to.
    Least,
}

/// A `claude` that was booted beforehand in a container of ccpool's making, and nothing between it
/// and the clock: its stdin and stdout are two FIFOs in a folder that both sides see, so no byte
/// passes through Docker.
#[derive(Debug)]
pub(crate) struct Floor {
    name: String,
    input: Sender,
    output: Receiver,
    marks: Marks,
}

impl Floor {
    /// Starts one and waits until it answers.
    pub(crate) async fn boot(
        site: &Site,
        number: usize,
        (image, network): (&str, &str),
        recipe: &Recipe,
        weight: Weight,
    ) -> Result<Self> {
        let name = site.name(&format!("floor-{number}"));
        let folder = site.folder(&format!("floor-{number}"))?;
        let environment = site.path(&format!("floor-{number}.env"));
        recipe.write_environment(&environment)?;
        recipe.write_mcp(&folder.join("mcp.json"))?;
        for fifo in ["in", "out"] {
            make_fifo(&folder.join(fifo))?;
        }
        let mut options = OpenOptions::new();
        // With both ends open here, opening inside never blocks, and there is no early end.
        options.read_write(true);
        let input = options.open_sender(folder.join("in"))?;
        let output = options.open_receiver(folder.join("out"))?;

        let mut arguments: Vec<String> = ["run", "--detach", "--entrypoint=tini"]
            .map(str::to_owned)
            .to_vec();
        arguments.push(format!("--name={name}"));
        arguments.push(format!("--volume={}:/floor", folder.display()));
        if weight == Weight::Least {
            arguments.push(format!("--cpu-shares={LEAST_SHARES}"));
        }
        arguments.extend(recipe.container_flags(network, &environment));
        let script = "exec claude \"$@\" </floor/in >/floor/out";
        arguments.push(image.to_owned());
        arguments.extend(["-g", "--", "sh", "-c", script, "sh"].map(str::to_owned));
        arguments.extend(recipe.arguments("/floor/mcp.json")?);
        docker::run(&arguments).await?;

        let mut floor = Self {
            name,
            input,
            output,
            marks: Marks::default(),
        };
        floor
            .input
            .write_all(StdinLine::mcp_status("probe").as_bytes())
            .await?;
        tokio::time::timeout(BOOT, async {
            while floor.next().await? != Mark::Ready {}
            anyhow::Ok(())
        })
        .await
        .context("the floor's claude did not boot in time")??;
        if weight == Weight::Least {
            let shares = format!("--cpu-shares={USUAL_SHARES}");
            docker::run(&["update", &shares, &floor.name]).await?;
        }
        Ok(floor)
    }

    /// One prompt, to the end of its turn.
    pub(crate) async fn turn(&mut self, prompt: &str) -> Result<TurnTimes> {
        let item = serde_json::json!({"text": prompt}).to_string();
        let item = InputItem::parse(item.as_bytes())?;
        let line = StdinLine::prompt(&item, &uuid::Uuid::new_v4().to_string());
        let mut times = TurnTimes::default();
        let began = Instant::now();
        self.input.write_all(line.as_bytes()).await?;
        tokio::time::timeout(TURN, async {
            while times.result.is_none() {
                let mark = self.next().await?;
                times.see(mark, began);
            }
            anyhow::Ok(())
        })
        .await
        .context("the floor's claude did not finish its turn in time")??;
        ensure!(times.success, "the floor's turn failed");
        Ok(times)
    }

    /// Removes its container.
    pub(crate) async fn end(self) -> Result<()> {
        docker::run(&["rm", "--force", "--volumes", &self.name]).await?;
        Ok(())
    }

    async fn next(&mut self) -> Result<Mark> {
        let mut chunk = [0; 64 * 1024];
        loop {
            if let Some(mark) = self.marks.next() {
                return Ok(mark);
            }
            let count = self.output.read(&mut chunk).await?;
            self.marks.feed(&chunk[..count]);
        }
    }
}

/// One that the agent's uid may open, too; the folder above lets nobody else in.
fn make_fifo(path: &Path) -> Result<()> {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)
        .with_context(|| format!("cannot make {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(())
}
