/// What this process may do to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// Installs packages, starts a Docker Engine, makes root file systems.
    Root,
    /// Uses what is there.
    User,
}

impl Privilege {
    /// That of this process.
    pub(crate) fn current() -> Self {
        if nix::unistd::geteuid().is_root() {
            Self::Root
        } else {
            Self::User
        }
    }
}
