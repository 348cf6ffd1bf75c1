use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::document::Document;
use super::environment::CONFIG_FILE;
use super::key_path::KeyPath;
use super::problem::{Origin, Problem};

/// Where a configuration file is looked for.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    /// Named on the command line.
    pub(crate) explicit: Option<&'a Path>,
    /// Relative places are seen from here.
    pub(crate) working_dir: &'a Path,
    pub(crate) environment: &'a [(String, String)],
}

impl Search<'_> {
    /// The first file found: the one named on the command line, the one that `CCPOOL_CONFIG`
    /// names, `ccpool.yaml` here, `ccpool/config.yaml` in the configuration home, and
    /// Clawdbot's own if it configures this pool.
    ///
    /// A file that was named must be there; the others need not.
    pub(crate) fn find(&self) -> Result<Option<(PathBuf, Document)>, Problem> {
        if let Some(path) = self.explicit {
            let mend = "check the path, or leave it out to use the default places";
            return self.named(path, mend).map(Some);
        }
        if let Some(path) = variable(self.environment, CONFIG_FILE) {
            let mend = "check the path in CCPOOL_CONFIG, or unset it";
            return self.named(Path::new(path), mend).map(Some);
        }
        for place in self.own_places() {
            if let Some(bytes) = read_if_there(&place)? {
                let document = Document::parse(&place, &bytes)?;
                return Ok(Some((place, document)));
            }
        }
        self.clawdbot()
    }

    fn named(&self, path: &Path, mend: &str) -> Result<(PathBuf, Document), Problem> {
        let place = home_expanded(path, home(self.environment));
        let bytes = std::fs::read(self.working_dir.join(&place))
            .map_err(|error| unreadable(&place, &error, mend))?;
        let document = Document::parse(&place, &bytes)?;
        Ok((place, document))
    }

    fn own_places(&self) -> Vec<PathBuf> {
        let config_home = variable(self.environment, "XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|home| home.is_absolute())
            .or_else(|| Some(home(self.environment)?.join(".config")));
        let mut places = vec![self.working_dir.join("ccpool.yaml")];
        places.extend(config_home.map(|home| home.join("ccpool/config.yaml")));
        places
    }

    fn clawdbot(&self) -> Result<Option<(PathBuf, Document)>, Problem> {
        let Some(home) = home(self.environment) else {
            return Ok(None);
        };
        let place = home.join(".clawdbot/config.yaml");
        let Some(bytes) = read_if_there(&place)? else {
            return Ok(None);
        };
        match Document::parse(&place, &bytes) {
            Ok(document) if document.is_for_us() => Ok(Some((place, document))),
            Ok(_) => Ok(None),
            // Someone else's broken file is not our concern, unless it was meant for us.
            Err(problem) if mentions_us(&bytes) => Err(problem),
            Err(_) => Ok(None),
        }
    }
}

fn mentions_us(bytes: &[u8]) -> bool {
    let name = b"dockerClaudeCode";
    bytes.windows(name.len()).any(|window| window == name)
}

fn read_if_there(place: &Path) -> Result<Option<Vec<u8>>, Problem> {
    match std::fs::read(place) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(unreadable(
            place,
            &error,
            "make it readable, or name another file",
        )),
    }
}

fn unreadable(place: &Path, error: &io::Error, mend: &str) -> Problem {
    let what = match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::IsADirectory => "this is a folder, not a file".to_owned(),
        _ => format!("cannot be read ({error})"),
    };
    Problem {
        path: KeyPath::ROOT,
        source: Origin::File {
            path: place.to_owned(),
            line: None,
        },
        what,
        mend: mend.to_owned(),
    }
}

/// The value of a variable that is set and not empty.
pub(crate) fn variable<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    environment
        .iter()
        .rev()
        .find(|(key, text)| key == name && !text.is_empty())
        .map(|(_, text)| text.as_str())
}

/// The home directory, if the environment names one.
pub(crate) fn home(environment: &[(String, String)]) -> Option<&Path> {
    variable(environment, "HOME")
        .map(Path::new)
        .filter(|home| home.is_absolute())
}

/// `~` and `~/…` made absolute where the home directory is known.
pub(crate) fn home_expanded(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => home.to_owned(),
        (Ok(rest), Some(home)) => home.join(rest),
        (Ok(_) | Err(_), _) => path.to_owned(),
    }
}
