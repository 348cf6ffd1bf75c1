//! A folder to load a configuration from, and what is then said.

use std::path::PathBuf;

use ccpool::config::{Config, ConfigErrors, LoadOptions, Loaded, Origin, Overrides};
use tempfile::TempDir;

/// A folder that is both home and working directory, and what to load there.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) flags: Overrides,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let home = folder.path().to_str().expect("UTF-8").to_owned();
        Self {
            folder,
            env: vec![("HOME".to_owned(), home)],
            flags: Overrides::new(),
        }
    }

    pub(crate) fn file(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a file");
        self
    }

    pub(crate) fn var(mut self, name: &str, text: &str) -> Self {
        self.env.push((name.to_owned(), text.to_owned()));
        self
    }

    pub(crate) fn flag(mut self, path: &str, text: &str) -> Self {
        self.flags = self.flags.set_text(&format!("--set {path}"), path, text);
        self
    }

    pub(crate) fn load(&self) -> Result<Loaded, ConfigErrors> {
        self.load_file(None)
    }

    pub(crate) fn load_file(&self, path: Option<PathBuf>) -> Result<Loaded, ConfigErrors> {
        Config::load(LoadOptions {
            path,
            env: self.env.clone(),
            overrides: self.flags.clone(),
            working_dir: self.folder.path().to_owned(),
        })
    }

    pub(crate) fn config(&self) -> Config {
        self.load()
            .unwrap_or_else(|errors| panic!("{errors}"))
            .config
    }
}

pub(crate) fn yaml(text: &str) -> Place {
    Place::new().file("ccpool.yaml", text)
}

/// `line path what; mend` of every problem, file names left out.
pub(crate) fn said(place: &Place) -> Vec<String> {
    let errors = place.load().expect_err("problems");
    errors
        .problems()
        .iter()
        .map(|p| {
            let source = match &p.source {
                Origin::Default => "default".to_owned(),
                Origin::File { line, .. } => line.map_or("-".to_owned(), |line| line.to_string()),
                Origin::Environment { name } | Origin::Flag { name } => name.clone(),
            };
            format!("{source} {} | {}; {}", p.path, p.what, p.mend)
        })
        .collect()
}
