use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::key_path::KeyPath;

/// Everything that is wrong with a configuration, in reading order; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// `Err` with all of `problems`, or `Ok` when there are none.
    pub(crate) fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self::all(problems))
        }
    }

    /// All of `problems`, which must be some, sorted by where they came from.
    pub(crate) fn all(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| {
            (
                problem.source.rank(),
                problem.line().unwrap_or(0),
                problem.path.clone(),
            )
        });
        problems.dedup();
        Self { problems }
    }

    /// The problems, in file order, then those of the environment, then those of flags.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for ConfigErrors {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "the configuration has a problem")?,
            n => write!(f, "the configuration has {n} problems")?,
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// One thing that is wrong, and what mends it. Never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The key concerned, or [`KeyPath::ROOT`] for a file as a whole.
    pub path: KeyPath,
    /// Where the value came from.
    pub source: Origin,
    /// What is wrong: a clause without a full stop.
    pub what: String,
    /// What mends it, in one line.
    pub mend: String,
}

impl Problem {
    /// The file concerned, if the value came from one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.source {
            Origin::File { path, .. } => Some(path),
            Origin::Default | Origin::Environment { .. } | Origin::Flag { .. } => None,
        }
    }

    /// The line in that file, counted from 1, where one can be named.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        match &self.source {
            Origin::File { line, .. } => *line,
            Origin::Default | Origin::Environment { .. } | Origin::Flag { .. } => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.source, self.what, self.mend)
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of a file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Counted from 1; `None` where the whole file is meant.
        line: Option<u64>,
    },
    /// An environment variable.
    Environment {
        /// The variable's name as it was set.
        name: String,
    },
    /// A command-line flag.
    Flag {
        /// The flag as the person knows it, such as `--redis`.
        name: String,
    },
}

impl Origin {
    fn rank(&self) -> u8 {
        match self {
            Origin::File { .. } => 0,
            Origin::Environment { .. } => 1,
            Origin::Flag { .. } => 2,
            Origin::Default => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Origin::File { path, line: None } => write!(f, "{}", path.display()),
            Origin::Environment { name } => write!(f, "environment {name}"),
            Origin::Flag { name } => write!(f, "flag {name}"),
        }
    }
}
