//! What gateways tell each other, beside the word `freed`, which scripts say when a container may be
//! claimable that was not.

/// Something about the containers has changed: look.
pub(crate) const CHANGED: &str = "changed";
/// The gateway that leads has said again why no container can be started, or that they can be. It
/// comes of a look, so nobody looks for it.
pub(crate) const TROUBLE: &str = "trouble";
/// The settings have changed.
pub(crate) const SETTINGS: &str = "settings";
