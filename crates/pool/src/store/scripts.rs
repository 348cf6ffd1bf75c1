//! The Lua scripts, each with its keys and codes written at its head.

use redis::Script;

/// All scripts of the pool.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) reserve: Script,
    pub(super) promote: Script,
    pub(super) claim: Script,
    pub(super) retire: Script,
    pub(super) release: Script,
    pub(super) push: Script,
    pub(super) conclude: Script,
    pub(super) read: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            reserve: Script::new(include_str!("../../lua/reserve.lua")),
            promote: Script::new(include_str!("../../lua/promote.lua")),
            claim: Script::new(include_str!("../../lua/claim.lua")),
            retire: Script::new(include_str!("../../lua/retire.lua")),
            release: Script::new(include_str!("../../lua/release.lua")),
            push: Script::new(include_str!("../../lua/push.lua")),
            conclude: Script::new(include_str!("../../lua/conclude.lua")),
            read: Script::new(include_str!("../../lua/read.lua")),
        }
    }
}
