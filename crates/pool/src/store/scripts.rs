//! The Lua scripts, each with its keys and codes written at its head.

use redis::Script;

/// All scripts of the pool.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) attend: Script,
    pub(super) draw: Script,
    pub(super) say: Script,
    pub(super) reserve: Script,
    pub(super) note: Script,
    pub(super) promote: Script,
    pub(super) claim: Script,
    pub(super) withdraw: Script,
    pub(super) waiting: Script,
    pub(super) adopt: Script,
    pub(super) retire: Script,
    pub(super) release: Script,
    pub(super) restore: Script,
    pub(super) push: Script,
    pub(super) conclude: Script,
    pub(super) read: Script,
    pub(super) wait: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            attend: Script::new(include_str!("../../lua/attend.lua")),
            draw: Script::new(include_str!("../../lua/draw.lua")),
            say: Script::new(include_str!("../../lua/say.lua")),
            reserve: Script::new(include_str!("../../lua/reserve.lua")),
            note: Script::new(include_str!("../../lua/note.lua")),
            promote: Script::new(include_str!("../../lua/promote.lua")),
            claim: Script::new(include_str!("../../lua/claim.lua")),
            withdraw: Script::new(include_str!("../../lua/withdraw.lua")),
            waiting: Script::new(include_str!("../../lua/waiting.lua")),
            adopt: Script::new(include_str!("../../lua/adopt.lua")),
            retire: Script::new(include_str!("../../lua/retire.lua")),
            release: Script::new(include_str!("../../lua/release.lua")),
            restore: Script::new(include_str!("../../lua/restore.lua")),
            push: Script::new(include_str!("../../lua/push.lua")),
            conclude: Script::new(include_str!("../../lua/conclude.lua")),
            read: Script::new(include_str!("../../lua/read.lua")),
            wait: Script::new(include_str!("../../lua/await.lua")),
        }
    }
}
