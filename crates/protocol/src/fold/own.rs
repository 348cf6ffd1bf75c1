//! What the wrapper's own lines mean to a reader.

use serde_json::{Map, Value};

use super::{Ending, Fold, Stamp};
use crate::event::{Event, Status};
use crate::line::WrapperLine;
use crate::permission::Behavior;

impl Fold {
    pub(super) fn wrapper(&mut self, stamp: Stamp<'_>, line: WrapperLine) -> Vec<Event> {
        match line {
            WrapperLine::Prompt {
                pushed_at,
                taken_at,
                sent_at,
                steered,
                origin,
            } => {
                if !steered {
                    self.draft.start();
                    self.current.began_at = pushed_at.or(taken_at).unwrap_or(sent_at);
                    self.current.timings.taken_ms = taken_at.map(|at| self.current.since(at));
                    self.current.timings.sent_ms = Some(self.current.since(sent_at));
                    self.current.origin = origin;
                }
                Vec::new()
            }
            WrapperLine::Terminal { event } => {
                if self.current.ended || !event.is_terminal() {
                    return Vec::new();
                }
                self.current.ended = true;
                // What nobody has finished is no part of the answer.
                let mut events: Vec<Event> = self.draft.drop_unfinished().into_iter().collect();
                events.push(event);
                events
            }
            WrapperLine::FunctionCalls {
                calls,
                expires_at,
                usage,
            } => match self.ending {
                Ending::ByResult => Vec::new(),
                Ending::ByWrapper => vec![Event::FunctionCalls {
                    calls,
                    expires_at,
                    usage,
                }],
            },
            WrapperLine::Respawned {
                reason,
                resumed,
                took_ms,
            } => {
                if !resumed {
                    // Another conversation, which the CLI counts from zero.
                    self.cost_so_far = 0.0;
                }
                let text = if resumed {
                    "claude was started again and goes on with the conversation"
                } else {
                    "claude was started again without the conversation so far"
                };
                let detail = Map::from_iter([
                    ("text".to_owned(), Value::from(text)),
                    ("reason".to_owned(), Value::String(reason)),
                    ("resumed".to_owned(), Value::Bool(resumed)),
                    ("took_ms".to_owned(), Value::from(took_ms)),
                ]);
                vec![Event::Status {
                    status: Status::Notice,
                    detail,
                }]
            }
            WrapperLine::PermissionAsked {
                request_id,
                expires_at,
            } => {
                self.current.expiry = expires_at.map(|at| (request_id, at));
                Vec::new()
            }
            WrapperLine::PermissionResolved {
                request_id,
                tool_use_id,
                outcome,
                behavior,
                by,
            } => {
                if behavior == Some(Behavior::Allow) {
                    // Its tool may act from now on.
                    self.current.asked.remove(request_id.as_str());
                }
                vec![Event::PermissionResolved {
                    request_id,
                    tool_use_id,
                    outcome,
                    behavior,
                    by,
                }]
            }
            WrapperLine::Noise { text } => {
                let detail = Map::from_iter([
                    ("text".to_owned(), Value::String(text)),
                    ("at".to_owned(), Value::from(stamp.at)),
                ]);
                vec![Event::Status {
                    status: Status::Notice,
                    detail,
                }]
            }
        }
    }
}
