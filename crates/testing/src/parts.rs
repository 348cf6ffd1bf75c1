//! The real parts that a test needs. A part that is missing is a failure, never a skipped test.

use std::path::PathBuf;

/// The real `claude`.
pub fn claude() -> PathBuf {
    named("CCPOOL_TEST_CLAUDE").unwrap_or_else(|| missing("CCPOOL_TEST_CLAUDE is not set"))
}

/// The wrapper: the one named, or the one built beside this test.
pub fn wrapper() -> PathBuf {
    named("CCPOOL_TEST_WRAPPER").unwrap_or_else(|| built("ccpool-wrapper"))
}

/// A Redis server: the one named, or the one on PATH.
pub fn redis_server() -> PathBuf {
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .flat_map(|dir| ["redis-server", "valkey-server"].map(|name| dir.join(name)))
            .find(|path| path.is_file())
    };
    named("CCPOOL_TEST_REDIS_SERVER")
        .or_else(on_path)
        .unwrap_or_else(|| missing("there is no redis-server on PATH"))
}

/// The image of the containers.
pub fn image() -> String {
    std::env::var("CCPOOL_TEST_IMAGE").unwrap_or_else(|_| missing("CCPOOL_TEST_IMAGE is not set"))
}

/// What cargo has built beside this test.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.ancestors().nth(2).expect("it lies in deps");
    let program = profile.join(name);
    if !program.is_file() {
        missing(&format!("{} is not built", program.display()));
    }
    program
}

fn named(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(variable)?);
    assert!(
        path.is_file(),
        "{variable} names {}, which is not there",
        path.display()
    );
    Some(path)
}

fn missing(what: &str) -> ! {
    panic!("{what}; run cargo xtask test, which gets all parts")
}
