//! The command line, as clap reads it.

use std::net::SocketAddr;
use std::path::PathBuf;

use ccpool_protocol::{RequestId, SessionId};
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::place::Place;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage or configuration
  3  Redis, Docker or the gateway is out of reach
  4  no container became free in time
  5  the model's credential is missing or refused
  6  interrupted
  7  the turn failed for another reason

Environment:
  CCPOOL_CONFIG                 configuration file
  CCPOOL_<SECTION>__<KEY>       any key, as CCPOOL_POOL__MINWARM=3
  REDIS_URL                     redis.url
  OTEL_EXPORTER_OTLP_ENDPOINT   telemetry.otlpEndpoint
  CCPOOL_LOG                    what is logged, as `debug` or `ccpool=trace,warn`
  ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN, CLAUDE_CODE_OAUTH_TOKEN, ANTHROPIC_BASE_URL
                                handed to claude; claude.env in the configuration wins";

/// A warm pool of Claude Code containers behind one gateway.
#[derive(Debug, Parser)]
#[command(name = "ccpool", version, propagate_version = true, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Whether this is the long-running gateway.
    pub(crate) fn serves(&self) -> bool {
        matches!(self.command, Command::Serve(_))
    }
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Configuration file, instead of the default places.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Results and errors as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say only what was asked for.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Log more; twice and thrice for still more.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Log as JSON lines.
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway: pool, HTTP and MCP, until SIGTERM or SIGINT.
    Serve(Serve),
    /// Send one prompt and print the answer as it comes.
    ///
    /// Goes to the gateway at http.listen if one answers there. Otherwise, or when --runtime,
    /// --redis or --wrapper is given, a pool of its own is started for it and removed again.
    Run(Run),
    /// Health and containers of the running gateway.
    Status,
    /// Sessions of the running gateway.
    #[command(subcommand)]
    Sessions(Sessions),
    /// The tools that agents call over MCP.
    #[command(subcommand)]
    Mcp(Mcp),
    /// The pool of the running gateway.
    #[command(subcommand)]
    Pool(Pool),
    /// Check everything that serving needs, and say what mends what is missing.
    Doctor(Doctor),
    /// The container image.
    #[command(subcommand)]
    Image(Image),
    /// The configuration.
    #[command(subcommand)]
    Config(Config),
    /// Turn a recorded stdout of `claude` into reply events, one JSON per line.
    ///
    /// Takes plain lines, or the form {"dir","t_ms","line"}, of which the `out` lines count. Lines
    /// that are not JSON are reported on stderr with their number, and the exit code is 1.
    Replay {
        /// The recording; `-` is standard input.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address to listen on; port 0 takes a free one [http.listen].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Write the port into this file once requests are answered.
    #[arg(long, value_name = "FILE")]
    pub(crate) port_file: Option<PathBuf>,
    /// Seconds that stopping may take before what is left is cut.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) stop_timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The prompt; `-` or nothing reads it from standard input.
    pub(crate) prompt: Option<String>,
    /// Session to use; it is kept on a running gateway. Without it, one is made and ended.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<SessionId>,
    /// Model that answers: an alias such as `opus`, or a full id.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// The prompt may be a command of the CLI, such as /compact.
    #[arg(long)]
    pub(crate) command: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// All live sessions.
    List,
    /// One session.
    Show { session: SessionId },
    /// Print events as they come, until interrupted or the session ends.
    Tail {
        session: SessionId,
        /// Begin after this event, such as `17-0`; `0` is the beginning of the buffer.
        #[arg(long, value_name = "EVENT")]
        after: Option<ccpool::EventId>,
    },
    /// What the session asks before it goes on.
    Permissions { session: SessionId },
    /// Let the session do what it asks.
    Allow(Allow),
    /// Do not let it.
    Deny(Deny),
    /// End the running turn; the session takes the next prompt.
    Interrupt { session: SessionId },
    /// End the session; returns once its container is gone.
    End { session: SessionId },
}

#[derive(Debug, Args)]
pub(crate) struct Allow {
    pub(crate) session: SessionId,
    /// The request, as `ccpool sessions permissions` names it.
    pub(crate) request: RequestId,
    /// For the rest of the session: all that the request suggests becomes a rule.
    #[arg(long)]
    pub(crate) always: bool,
    /// Another input for the tool, as a JSON object.
    #[arg(long, value_name = "JSON", conflicts_with = "answer")]
    pub(crate) input: Option<String>,
    /// To AskUserQuestion: a question's text and what is chosen; once for each question, and again
    /// for each further label of a question that takes several.
    #[arg(long, value_name = "QUESTION=CHOSEN")]
    pub(crate) answer: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Deny {
    pub(crate) session: SessionId,
    /// The request, as `ccpool sessions permissions` names it.
    pub(crate) request: RequestId,
    /// What the model is told.
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// End the turn, too.
    #[arg(long)]
    pub(crate) interrupt: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mcp {
    /// Make a token by which any MCP client calls the tools at /mcp as a session does; it is dead
    /// with the session.
    Token {
        /// The session to act as.
        #[arg(long)]
        session: SessionId,
        /// How long it lasts at most.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=1440))]
        minutes: u16,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pool {
    /// Claim and refill no more, so that the pool empties itself.
    Drain {
        /// Claim and refill again.
        #[arg(long)]
        off: bool,
    },
    /// Change limits of the running pool, until they are changed again or reset.
    #[command(group(clap::ArgGroup::new("limits").required(true).multiple(true)))]
    Resize(Resize),
}

#[derive(Debug, Args)]
pub(crate) struct Resize {
    /// Containers to be kept warm [pool.minWarm].
    #[arg(long, value_name = "N", group = "limits")]
    pub(crate) min_warm: Option<u32>,
    /// Containers in all [pool.maxTotal].
    #[arg(long, value_name = "N", group = "limits")]
    pub(crate) max_total: Option<u32>,
    /// Sessions per agent [pool.maxPerAgent].
    #[arg(long, value_name = "N", group = "limits")]
    pub(crate) max_per_agent: Option<u32>,
    /// Back to the configured limits, but for those that are named.
    #[arg(long, group = "limits")]
    pub(crate) reset: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Address that serving would listen on [http.listen].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Build the image, or find it built from the same parts already.
    Build(ImageBuild),
}

#[derive(Debug, Args)]
pub(crate) struct ImageBuild {
    /// Name of the image [image].
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Image to build upon [imageBuild.base].
    #[arg(long)]
    pub(crate) base: Option<String>,
    /// The Claude Code binary to put in [claude.path, looked for on PATH].
    #[arg(long, value_name = "FILE")]
    pub(crate) claude: Option<PathBuf>,
    /// The wrapper to put in: statically linked [next to this program, then on PATH].
    #[arg(long, value_name = "FILE")]
    pub(crate) wrapper: Option<PathBuf>,
    /// CA certificates to trust inside, PEM; may be given several times
    /// [imageBuild.caCertificates].
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// The effective configuration and where each value came from; secrets are `***`.
    Show,
    /// Whether the configuration is valid; otherwise everything that is wrong with it.
    Check,
    /// The JSON Schema of the configuration file.
    Schema,
}

/// Where containers run, as a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// In Docker.
    Docker,
    /// As plain children of this program, without isolation.
    Process,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_may_stand_anywhere() {
        let cli = Cli::try_parse_from(["ccpool", "sessions", "list", "--json", "--config", "c"])
            .expect("valid");
        assert!(cli.global.json);
        assert_eq!(cli.global.config, Some("c".into()));
    }

    #[test]
    fn run_takes_a_prompt_or_nothing() {
        let run = |arguments: &[&str]| match Cli::try_parse_from(arguments).expect("valid").command
        {
            Command::Run(run) => run,
            other => panic!("not run: {other:?}"),
        };
        let given = run(&[
            "ccpool",
            "run",
            "hello",
            "--runtime",
            "process",
            "--redis",
            "embedded",
        ]);
        assert_eq!(given.prompt.as_deref(), Some("hello"));
        assert_eq!(given.place.runtime, Some(Runtime::Process));
        assert!(given.place.is_given());
        let bare = run(&["ccpool", "run"]);
        assert_eq!(bare.prompt, None);
        assert!(!bare.place.is_given());
    }

    #[test]
    fn a_wrong_session_is_refused_with_the_rule() {
        let error = Cli::try_parse_from(["ccpool", "sessions", "show", "a b"]).expect_err("space");
        assert!(error.to_string().contains("letters, digits"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn the_long_help_lists_the_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        for code in 0..=7 {
            assert!(help.contains(&format!("\n  {code}  ")), "{code} is missing");
        }
    }
}
