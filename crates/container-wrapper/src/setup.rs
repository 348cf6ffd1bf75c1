//! What the first prompt to a `claude` brings along: only what differs from how it was started,
//! because each piece costs time.

use ccpool_protocol::assignment::Assignment;
use ccpool_protocol::stdin::{Initialize, StdinLine};
use serde_json::{Map, Value};

use crate::effects::Effects;

/// Waits for the first prompt, and after a restart for the next.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    boot_model: Option<String>,
    system_prompt: Option<String>,
    append_system_prompt: Option<String>,
    output_schema: Option<Map<String, Value>>,
    model: Option<String>,
    written: bool,
}

impl Setup {
    /// `boot_model`: the model that `claude` is started with.
    pub(crate) fn new(assignment: &Assignment, boot_model: Option<&str>) -> Self {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        Self {
            boot_model: boot_model.map(str::to_owned),
            system_prompt: given(&assignment.system_prompt),
            append_system_prompt: given(&assignment.append_system_prompt),
            output_schema: assignment.output_schema.clone(),
            model: given(&assignment.model),
            written: false,
        }
    }

    /// The session wants another model from now on.
    pub(crate) fn choose(&mut self, model: &str) {
        self.model = Some(model.to_owned());
    }

    /// Another `claude` knows nothing of it.
    ///
    /// To a resumed conversation the system prompt of its first request is bound already; the text
    /// counts only where no request was made before (CHANGES-2.1.329 section 1).
    pub(crate) fn again(&mut self) {
        self.written = false;
    }

    /// Writes it, once per `claude`: true when this was the time. The model follows.
    pub(crate) fn take(&mut self, out: &mut Effects) -> bool {
        if std::mem::replace(&mut self.written, true) {
            return false;
        }
        let with = Initialize {
            system_prompt: self.system_prompt.as_deref(),
            append_system_prompt: self.append_system_prompt.as_deref(),
            output_schema: self.output_schema.as_ref(),
        };
        if with != Initialize::default() {
            let id = "ccpool-initialize";
            out.request(id, &StdinLine::initialize(id, with));
        }
        true
    }

    /// Writes the model, after the rest.
    pub(crate) fn take_model(&self, out: &mut Effects) {
        if let Some(model) = &self.model
            && self.model != self.boot_model
        {
            let id = "ccpool-first-model";
            out.request_of_model(id, &StdinLine::set_model(id, model));
        }
    }
}
