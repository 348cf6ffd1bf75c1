//! Log lines: one JSON object per line on stderr, with the session and the turn that they are about.
//! Never prompts, never secrets.

use std::fmt::Display;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use ccpool_protocol::{SessionId, TurnId};
use serde_json::{Map, Value};

/// What the lines are about. A wrapper has one session, and one turn at a time.
static ABOUT: Mutex<About> = Mutex::new(About {
    session: None,
    turn: None,
});

struct About {
    session: Option<SessionId>,
    turn: Option<TurnId>,
}

/// From here on lines are about this session.
pub(crate) fn about_session(session: &SessionId) {
    let mut about = ABOUT.lock().unwrap_or_else(PoisonError::into_inner);
    about.session = Some(session.clone());
}

/// From here on lines are about this turn, or about none.
pub(crate) fn about_turn(turn: Option<TurnId>) {
    let mut about = ABOUT.lock().unwrap_or_else(PoisonError::into_inner);
    about.turn = turn;
}

/// Something worth knowing.
pub(crate) fn info(message: impl Display) {
    write("info", &message);
}

/// Something that somebody should look at.
pub(crate) fn warn(message: impl Display) {
    write("warn", &message);
}

/// Something that ends the wrapper or loses data.
pub(crate) fn error(message: impl Display) {
    write("error", &message);
}

fn write(level: &str, message: &dyn Display) {
    let mut line = Map::new();
    line.insert("at".to_owned(), Value::from(crate::clock::now()));
    line.insert("level".to_owned(), Value::from(level));
    line.insert("message".to_owned(), Value::from(message.to_string()));
    {
        let about = ABOUT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &about.session {
            line.insert("session".to_owned(), Value::from(session.as_str()));
        }
        if let Some(turn) = &about.turn {
            line.insert("turn".to_owned(), Value::from(turn.as_str()));
        }
    }
    let line = Value::Object(line);
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}
