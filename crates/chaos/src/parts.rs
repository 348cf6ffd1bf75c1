//! The real parts, named by the environment as for the tests.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// Where the parts are.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) ccpool: PathBuf,
    pub(crate) wrapper: PathBuf,
    pub(crate) claude: PathBuf,
    pub(crate) redis_server: PathBuf,
    /// The image of the containers; none where there are no containers.
    pub(crate) image: Option<String>,
}

impl Parts {
    /// Reads the variables `CCPOOL_TEST_…`; `ccpool` and the wrapper are looked for beside this
    /// program too.
    ///
    /// # Errors
    /// A part is not there.
    pub(crate) fn find() -> Result<Self> {
        let own = std::env::current_exe().context("this program has no path")?;
        let beside = |name: &str| own.with_file_name(name).into_os_string();
        let named = |variable: &str, otherwise: Option<OsString>| {
            let path = std::env::var_os(variable).or(otherwise);
            let path = PathBuf::from(path.with_context(|| format!("{variable} is not set"))?);
            ensure!(
                path.is_file(),
                "{variable}: there is no {}; cargo xtask chaos gets all parts",
                path.display()
            );
            Ok(path)
        };
        Ok(Self {
            ccpool: named("CCPOOL_TEST_BIN", Some(beside("ccpool")))?,
            wrapper: named("CCPOOL_TEST_WRAPPER", Some(beside("ccpool-wrapper")))?,
            claude: named("CCPOOL_TEST_CLAUDE", None)?,
            redis_server: named("CCPOOL_TEST_REDIS_SERVER", None)?,
            image: std::env::var("CCPOOL_TEST_IMAGE").ok(),
        })
    }
}
