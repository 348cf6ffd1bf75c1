//! What the first prompt brings along: only what differs from how `claude` was started, because
//! each piece costs time.

use ccpool_protocol::assignment::Assignment;
use ccpool_protocol::stdin::StdinLine;

use crate::effects::Effects;

/// Waits for the first prompt.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    append_system_prompt: Option<String>,
    model: Option<String>,
}

impl Setup {
    /// `boot_model`: the model that `claude` was started with.
    pub(crate) fn new(assignment: &Assignment, boot_model: Option<&str>) -> Self {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        Self {
            append_system_prompt: given(&assignment.append_system_prompt),
            model: given(&assignment.model).filter(|model| Some(model.as_str()) != boot_model),
        }
    }

    /// Writes it, once.
    pub(crate) fn take(&mut self, out: &mut Effects) {
        if let Some(text) = self.append_system_prompt.take() {
            out.write(&StdinLine::initialize("ccpool-initialize", &text));
        }
        if let Some(model) = self.model.take() {
            out.write(&StdinLine::set_model("ccpool-first-model", &model));
        }
    }
}
