use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::base_image::BaseImage;
use super::claude::{CLAUDE_VERSION, Claude};
use super::docker_engine::{DockerEngine, NoEngine};
use super::image::Image;
use super::packages::Packages;
use super::privilege::Privilege;
use super::redis::{RedisOptions, RedisServer};
use super::wrapper_binary::WrapperBinary;
use crate::invocation;
use crate::progress::{Step, say, warn};
use crate::workspace::{Workspace, cargo};

/// Which parts to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The container image and what goes into it.
    Image,
    /// All that tests and demo run on.
    Everything,
    /// The same without containers.
    Processes,
}

/// What the gateway's tools are tested against. Installing starts no service; tests start their own.
const FOR_TOOLS: [(&str, &str); 4] = [
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("python3", "python3-minimal"),
];

/// Real parts, ready for use. An engine that was started here stops with this value.
#[derive(Debug)]
pub(crate) struct Parts {
    redis_server: Option<PathBuf>,
    claude: Claude,
    wrapper: WrapperBinary,
    ccpool: PathBuf,
    scripted_model: PathBuf,
    docker: Result<Containers, NoEngine>,
}

/// A Docker Engine with the agent's image on it.
#[derive(Debug)]
pub(crate) struct Containers {
    engine: DockerEngine,
    image: Image,
}

impl Parts {
    /// Gets what is missing and builds what has changed.
    ///
    /// # Errors
    /// A part cannot be had. A missing Docker Engine is none: see [`Parts::docker`].
    pub(crate) fn obtain(workspace: &Workspace, needs: Needs) -> Result<Self> {
        let privilege = Privilege::current();
        let mut packages = Packages::new(privilege);
        for program in ["git", "curl", "jq"] {
            packages.ensure(program, program)?;
        }
        let redis_server = match needs {
            Needs::Everything | Needs::Processes => {
                for (program, package) in FOR_TOOLS {
                    packages.ensure(program, package)?;
                }
                Some(redis_server(&mut packages, workspace)?)
            }
            Needs::Image => None,
        };
        let engine = match needs {
            Needs::Image | Needs::Everything => {
                let engine = DockerEngine::obtain(privilege, &mut packages, workspace.state());
                if let Err(reason) = &engine {
                    warn(format!("no containers: {reason}"));
                }
                engine
            }
            Needs::Processes => Err(NoEngine::not_asked_for()),
        };
        let claude = Claude::obtain(&mut packages, workspace.state())?;
        let wrapper = WrapperBinary::build(workspace)?;
        build_binaries(workspace)?;
        let ccpool = workspace.debug_binary("ccpool");
        let docker = match engine {
            Ok(engine) => {
                let base = BaseImage::obtain(&engine, privilege, &mut packages, workspace.state())?;
                let image = Image::build(
                    &ccpool,
                    &engine,
                    &base,
                    &claude,
                    &wrapper,
                    workspace.state(),
                )?;
                Ok(Containers { engine, image })
            }
            Err(reason) => Err(reason),
        };
        let scripted_model = workspace.debug_binary("scripted-model");
        Ok(Self {
            redis_server,
            claude,
            wrapper,
            ccpool,
            scripted_model,
            docker,
        })
    }

    /// The engine and the image, or why there are none.
    pub(crate) fn docker(&self) -> Result<&Containers, &NoEngine> {
        self.docker.as_ref()
    }

    /// The Claude Code binary.
    pub(crate) fn claude(&self) -> &Path {
        self.claude.path()
    }

    /// The static wrapper.
    pub(crate) fn wrapper(&self) -> &Path {
        self.wrapper.path()
    }

    /// The reference of the agent's image.
    ///
    /// # Errors
    /// There is no Docker Engine.
    pub(crate) fn image_tag(self) -> Result<String> {
        let containers = self.docker.context("no image without a Docker Engine")?;
        Ok(containers.image.tag().to_owned())
    }

    /// Tells a child where everything is, by the variables that the tests read.
    pub(crate) fn describe_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("CCPOOL_TEST_CLAUDE", self.claude.path())
            .env("CCPOOL_TEST_WRAPPER", self.wrapper.path())
            .env("CCPOOL_TEST_BIN", &self.ccpool)
            .env("CCPOOL_TEST_SCRIPTED_MODEL", &self.scripted_model);
        if let Some(redis_server) = &self.redis_server {
            command.env("CCPOOL_TEST_REDIS_SERVER", redis_server);
        }
        match &self.docker {
            Ok(containers) => {
                command.env("CCPOOL_TEST_DOCKER", "1");
                command.env("CCPOOL_TEST_IMAGE", containers.image.tag());
                if let Some(host) = containers.engine.docker_host() {
                    command.env("DOCKER_HOST", host);
                }
            }
            Err(_) => {
                command
                    .env_remove("CCPOOL_TEST_DOCKER")
                    .env_remove("CCPOOL_TEST_IMAGE");
            }
        }
        command
    }
}

impl Containers {
    /// The engine.
    pub(crate) fn engine(&self) -> &DockerEngine {
        &self.engine
    }

    /// The reference of the agent's image on it.
    pub(crate) fn image(&self) -> &str {
        self.image.tag()
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(redis_server) = &self.redis_server {
            writeln!(f, "redis-server    {}", redis_server.display())?;
        }
        writeln!(
            f,
            "claude {CLAUDE_VERSION}  {}",
            self.claude.path().display()
        )?;
        writeln!(f, "wrapper         {}", self.wrapper.path().display())?;
        writeln!(f, "ccpool          {}", self.ccpool.display())?;
        match &self.docker {
            Ok(Containers { engine, image }) => {
                write!(f, "docker          {}", engine.address())?;
                match engine.started_pid() {
                    Some(pid) => writeln!(f, " (started here as pid {pid}, stops now)")?,
                    None => writeln!(f)?,
                }
                writeln!(f, "image           {}", image.tag())
            }
            Err(reason) => writeln!(f, "docker          none: {reason}"),
        }
    }
}

/// Installs redis-server and sees it answer once: better here than in every test.
fn redis_server(packages: &mut Packages, workspace: &Workspace) -> Result<PathBuf> {
    let program = packages.ensure("redis-server", "redis-server")?;
    let directory = workspace
        .state()
        .join(format!("redis-{}", std::process::id()));
    let server = RedisServer::start(&program, &directory, &RedisOptions::default())
        .context("redis-server is installed but does not serve")?;
    say(format!(
        "redis-server answers (pid {}, {})",
        server.pid(),
        server.socket().display()
    ));
    drop(server);
    remove(&directory);
    Ok(program)
}

fn remove(directory: &Path) {
    if let Err(error) = std::fs::remove_dir_all(directory) {
        warn(format!("cannot remove {}: {error}", directory.display()));
    }
}

fn build_binaries(workspace: &Workspace) -> Result<()> {
    let step = Step::begin("building the workspace's binaries (minutes the first time)");
    invocation::require(
        Command::new(cargo())
            .args(["build", "--workspace", "--bins"])
            .current_dir(workspace.root()),
        "see the compiler's messages above",
    )?;
    step.done();
    Ok(())
}
