use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;

use super::document::Form;
use super::environment;
use super::key_path::KeyPath;
use super::layer::{Layer, Provenance};
use super::marks::Marks;
use super::overrides::Overrides;
use super::problem::{ConfigErrors, Origin, Problem};
use super::raw::RawConfig;
use super::search::{Search, home, home_expanded, variable};
use super::settings::Config;
use super::validate::Candidate;

/// What [`Config::load`] loads from. The environment is data, so that loading is a function of
/// its arguments and of the files.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions<E> {
    /// The file named on the command line. Without one, the default places are searched.
    pub path: Option<PathBuf>,
    /// The environment's variables.
    pub env: E,
    /// Values from flags.
    pub overrides: Overrides,
    /// Where relative places are seen from; empty is the process' working directory.
    pub working_dir: PathBuf,
}

impl LoadOptions<Vec<(String, String)>> {
    /// With the environment and working directory of this process. Variables that are not
    /// UTF-8 are taken with their strange bytes replaced.
    #[must_use]
    pub fn of_this_process(path: Option<PathBuf>, overrides: Overrides) -> Self {
        let env = std::env::vars_os()
            .map(|(k, v)| {
                (
                    k.to_string_lossy().into_owned(),
                    v.to_string_lossy().into_owned(),
                )
            })
            .collect();
        Self {
            path,
            env,
            overrides,
            working_dir: PathBuf::new(),
        }
    }
}

/// A configuration and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The validated configuration.
    pub config: Config,
    /// Where its values came from.
    pub sources: Sources,
}

/// Where the values of a configuration came from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was read, if any, and its form.
    pub file: Option<(PathBuf, Form)>,
    /// Top-level keys of a Clawdbot file that look like options of this pool, and are not read
    /// because they do not stand under `agents.defaults.dockerClaudeCode`.
    pub passed_over: Vec<String>,
    origins: BTreeMap<KeyPath, Origin>,
}

impl Sources {
    /// Where the value at `path` came from: its own origin, or that of the nearest key above it
    /// that was set as a whole.
    #[must_use]
    pub fn origin(&self, path: &KeyPath) -> Origin {
        self.origins.get(path).cloned().unwrap_or(Origin::Default)
    }

    /// Every key that something has set, with what set it, in the order of keys.
    pub fn set_keys(&self) -> impl Iterator<Item = (&KeyPath, &Origin)> {
        self.origins.iter()
    }
}

impl Config {
    /// Loads the configuration: built-in defaults, then the file, then the environment, then
    /// flags, each winning over what came before.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once. A file that is no YAML hides what its keys say, not
    /// what the environment and the flags say.
    pub fn load<E>(options: LoadOptions<E>) -> Result<Loaded, ConfigErrors>
    where
        E: IntoIterator<Item = (String, String)>,
    {
        let environment: Vec<(String, String)> = options.env.into_iter().collect();
        let search = Search {
            explicit: options.path.as_deref(),
            working_dir: &options.working_dir,
            environment: &environment,
        };
        let mut sources = Sources::default();
        let mut problems = Vec::new();
        let mut layers = Vec::new();
        match search.find() {
            Ok(Some((path, document))) => {
                problems.extend(document.problems);
                let provenance = InFile {
                    path: &path,
                    marks: &document.marks,
                };
                layers.push(Layer::sift(document.root, &provenance));
                sources.passed_over = document.passed_over;
                sources.file = Some((path, document.form));
            }
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
        let (from_environment, unknown) = environment::layers(&environment);
        problems.extend(unknown);
        layers.extend(from_environment);
        layers.extend(options.overrides.layers());

        let raw = merge(layers, &mut sources, &mut problems);
        let candidate = Candidate {
            raw,
            origins: &sources.origins,
            home: home(&environment),
            data_dir: default_data_dir(&environment),
        };
        match Config::try_from(candidate) {
            Ok(config) => ConfigErrors::check(problems).map(|()| Loaded { config, sources }),
            Err(errors) => {
                problems.extend_from_slice(errors.problems());
                Err(ConfigErrors::all(problems))
            }
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let candidate = Candidate {
            raw: RawConfig::default(),
            origins: &BTreeMap::new(),
            home: None,
            data_dir: default_data_dir(&[]),
        };
        Config::try_from(candidate).expect("the built-in defaults are valid")
    }
}

fn merge(layers: Vec<Layer>, sources: &mut Sources, problems: &mut Vec<Problem>) -> RawConfig {
    let mut merged = Figment::new();
    for layer in layers {
        problems.extend_from_slice(&layer.problems);
        sources.origins.extend(layer.origins.clone());
        merged = merged.merge(layer);
    }
    merged.extract().unwrap_or_else(|error| {
        // The layers were held against the schema of `RawConfig`, so this is a slip of ours;
        // still a problem to report, not a reason to stop.
        problems.push(Problem {
            path: KeyPath::of(&error.path.join(".")),
            source: Origin::Default,
            what: "the sources do not fit together".to_owned(),
            mend: "set this key in one place only".to_owned(),
        });
        RawConfig::default()
    })
}

struct InFile<'a> {
    path: &'a Path,
    marks: &'a Marks,
}

impl Provenance for InFile<'_> {
    fn origin(&self, path: &KeyPath) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line: self.marks.line(path),
        }
    }

    fn plain(&self, path: &KeyPath) -> Option<&str> {
        self.marks.plain(path)
    }
}

/// The XDG state home; a process without a home is a system service.
fn default_data_dir(environment: &[(String, String)]) -> PathBuf {
    variable(environment, "XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|state| state.is_absolute())
        .or_else(|| {
            Some(home_expanded(
                Path::new("~/.local/state"),
                Some(home(environment)?),
            ))
        })
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("ccpool")
}
