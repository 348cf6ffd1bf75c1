//! What a run does, all of it from one number: the pool, the load, and which fault comes at which
//! step. No IO.

use std::fmt;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// All else comes from it.
    pub(crate) seed: u64,
    pub(crate) runtime: Runtime,
    pub(crate) gateways: usize,
    pub(crate) min_warm: usize,
    pub(crate) max_total: usize,
    /// Redis comes back with what it had; otherwise empty.
    pub(crate) durable: bool,
    pub(crate) scripts: Vec<Script>,
    pub(crate) faults: Vec<Fault>,
}

/// Where containers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    Process,
    Docker,
}

/// What one client does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Script {
    pub(crate) session: String,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) departs: Option<Departs>,
}

/// When a client goes away for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departs {
    /// Its claim is on the way.
    InClaim,
    /// Its last prompt is being answered.
    InTurn,
}

/// What a prompt makes the model do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// A few words at once.
    Short,
    /// Words for about a second.
    Slow,
    /// A tool, and words after it.
    Tool,
    /// A tool that leaves a process behind.
    Leftover,
}

/// A step of the load. Each is counted over all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Claiming,
    Claimed,
    Prompting,
    Accepted,
    FirstWords,
    Words,
    ToolUse,
    Answered,
    Ending,
}

/// Something breaks when a step is reached for the n-th time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) step: Step,
    /// From one.
    pub(crate) nth: usize,
    pub(crate) what: What,
}

/// What breaks. `pick` says which of those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// SIGKILL, and another one in its place.
    KillGateway {
        pick: usize,
    },
    /// SIGTERM, and another one in its place.
    StopGateway {
        pick: usize,
    },
    /// SIGSTOP for a while.
    FreezeGateway {
        pick: usize,
        lasts: Duration,
    },
    /// Every connection between clients and a gateway.
    CutGateway {
        pick: usize,
    },
    KillWrapper {
        pick: usize,
    },
    KillClaude {
        pick: usize,
    },
    /// Only with Docker.
    KillContainer {
        pick: usize,
    },
    /// SIGKILL, and up again after a while.
    KillRedis {
        away: Duration,
    },
    /// SIGSTOP for a while.
    FreezeRedis {
        lasts: Duration,
    },
    /// Every connection to Redis.
    CutRedis,
}

impl Plan {
    /// The same arguments give the same plan.
    pub(crate) fn new(seed: u64, runtime: Runtime, gateways: usize) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let max_total = [2, 3, 3, 4, 4, 5][dice.random_range(0..6)];
        let min_warm = dice.random_range(1..=2);
        let durable = dice.random_bool(0.7);
        let count = dice.random_range(2..=4);
        let scripts: Vec<Script> = (1..=count).map(|n| script(&mut dice, n)).collect();
        let prompts = scripts.iter().map(|script| script.prompts.len()).sum();
        let faults = (0..dice.random_range(3..=6))
            .map(|_| fault(&mut dice, runtime, count, prompts))
            .collect();
        Self {
            seed,
            runtime,
            gateways,
            min_warm,
            max_total,
            durable,
            scripts,
            faults,
        }
    }
}

impl Plan {
    /// Every prompt, with the mark by which it is known.
    pub(crate) fn prompts(&self) -> impl Iterator<Item = (String, Prompt)> {
        self.scripts.iter().flat_map(Script::prompts)
    }
}

impl Script {
    /// Its prompts, with their marks, in order.
    pub(crate) fn prompts(&self) -> impl Iterator<Item = (String, Prompt)> {
        let mark = |n| format!("{}-{n}", self.session);
        let prompts = self.prompts.iter().enumerate();
        prompts.map(move |(n, prompt)| (mark(n), *prompt))
    }
}

fn script(dice: &mut SmallRng, n: usize) -> Script {
    let prompts = (0..dice.random_range(1..=3)).map(|_| match dice.random_range(0..10) {
        0..3 => Prompt::Short,
        3..7 => Prompt::Slow,
        7..9 => Prompt::Tool,
        _ => Prompt::Leftover,
    });
    Script {
        session: format!("s{n}"),
        prompts: prompts.collect(),
        departs: match dice.random_range(0..12) {
            // Somebody stays.
            0 if n > 1 => Some(Departs::InClaim),
            1 if n > 1 => Some(Departs::InTurn),
            _ => None,
        },
    }
}

fn fault(dice: &mut SmallRng, runtime: Runtime, sessions: usize, prompts: usize) -> Fault {
    let (step, most) = match dice.random_range(0..14) {
        0 => (Step::Claiming, sessions),
        1 => (Step::Claimed, sessions),
        2 => (Step::Prompting, prompts),
        3..5 => (Step::Accepted, prompts),
        5..7 => (Step::FirstWords, prompts),
        7..10 => (Step::Words, prompts * 6),
        10 => (Step::ToolUse, 1 + prompts / 4),
        11..13 => (Step::Answered, prompts),
        _ => (Step::Ending, sessions),
    };
    let nth = dice.random_range(1..=most);
    let pick = dice.random_range(0..1000);
    let mut lasts = |longest| Duration::from_millis(dice.random_range(100..=longest));
    let (lasts, away) = (lasts(2000), lasts(800));
    let what = match dice.random_range(0..20) {
        0..3 => What::KillGateway { pick },
        3..5 => What::StopGateway { pick },
        5..7 => What::FreezeGateway { pick, lasts },
        7..9 => What::CutGateway { pick },
        9..12 if runtime == Runtime::Docker => What::KillContainer { pick },
        9..12 => What::KillWrapper { pick },
        12..14 => What::KillClaude { pick },
        14..16 => What::KillRedis { away },
        16..18 => What::FreezeRedis { lasts },
        _ => What::CutRedis,
    };
    Fault { step, nth, what }
}

impl Prompt {
    /// The text for the scripted model. `mark` makes it one of its kind.
    pub(crate) fn text(self, mark: &str) -> String {
        let scene = match self {
            Self::Short => format!(r#"{{"text":"{}"}}"#, self.answer(mark)),
            Self::Slow => format!(r#"{{"text":"{}","delayMs":100}}"#, self.answer(mark)),
            Self::Tool => self.after_tool(mark, "sleep 0.2; echo done"),
            Self::Leftover => {
                self.after_tool(mark, "(setsid sleep 600 >/dev/null 2>&1 &); echo done")
            }
        };
        format!("{mark} [[do: {scene}]]")
    }

    fn after_tool(self, mark: &str, command: &str) -> String {
        let input = format!(r#"{{"command":"{command}","description":"work"}}"#);
        let tool = format!(r#"{{"toolUse":{{"name":"Bash","input":{input}}}}}"#);
        let text = self.answer(mark);
        format!(r#"[{tool},{{"text":"{text}","delayMs":50}}]"#)
    }

    /// How often the model is asked when nothing goes wrong.
    pub(crate) fn requests(self) -> usize {
        match self {
            Self::Short | Self::Slow => 1,
            Self::Tool | Self::Leftover => 2,
        }
    }

    /// The text of the turn when nothing goes wrong.
    pub(crate) fn answer(self, mark: &str) -> String {
        match self {
            Self::Short => format!("short {mark}"),
            Self::Slow => format!("one two three four five six seven eight nine {mark}"),
            Self::Tool | Self::Leftover => format!("the tool is done {mark}"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redis = if self.durable {
            "comes back as it was"
        } else {
            "comes back empty"
        };
        writeln!(
            f,
            "seed {}: {:?} runtime, {} gateway(s), minWarm {}, maxTotal {}, Redis {redis}",
            self.seed, self.runtime, self.gateways, self.min_warm, self.max_total
        )?;
        for script in &self.scripts {
            write!(f, "  {}: {:?}", script.session, script.prompts)?;
            match script.departs {
                Some(departs) => writeln!(f, ", departs {departs:?}")?,
                None => writeln!(f)?,
            }
        }
        for fault in &self.faults {
            writeln!(f, "  at {:?} {}: {:?}", fault.step, fault.nth, fault.what)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_plan_and_another_one_another() {
        let plan = |seed| Plan::new(seed, Runtime::Process, 1);
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7).scripts, plan(8).scripts);
    }

    #[test]
    fn every_kind_of_fault_and_step_is_planned() {
        let plans = (0..300).map(|seed| Plan::new(seed, Runtime::Docker, 1));
        let faults: Vec<Fault> = plans.flat_map(|plan| plan.faults).collect();
        let steps = [
            Step::Claiming,
            Step::Claimed,
            Step::Prompting,
            Step::Accepted,
            Step::FirstWords,
            Step::Words,
            Step::ToolUse,
            Step::Answered,
            Step::Ending,
        ];
        for step in steps {
            assert!(faults.iter().any(|fault| fault.step == step), "{step:?}");
        }
        let mut kinds: Vec<_> = faults
            .iter()
            .map(|fault| std::mem::discriminant(&fault.what))
            .collect();
        kinds.dedup();
        let distinct: std::collections::HashSet<_> = kinds.into_iter().collect();
        // All but the killed wrapper, which is the process runtime's container.
        assert_eq!(distinct.len(), 9);
    }

    #[test]
    fn plans_fit_their_pool() {
        for seed in 0..300 {
            let plan = Plan::new(seed, Runtime::Process, 1);
            assert!(plan.min_warm <= plan.max_total, "{plan}");
            let container = |fault: &Fault| matches!(fault.what, What::KillContainer { .. });
            assert!(!plan.faults.iter().any(container), "{plan}");
            assert!(plan.to_string().contains(&format!("seed {seed}:")));
        }
    }

    #[test]
    fn the_model_can_read_every_prompt() {
        for prompt in [Prompt::Short, Prompt::Slow, Prompt::Tool, Prompt::Leftover] {
            let text = prompt.text("s1-0");
            let (_, scene) = text.split_once("[[do: ").unwrap();
            let scene = scene.strip_suffix("]]").unwrap();
            ccpool_scripted_model::Scene::parse(scene).unwrap();
            assert!(scene.contains(&prompt.answer("s1-0")));
        }
    }
}
