use serde::Serialize;

/// One line of a build's output and the step that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildProgress {
    /// Number of the step, from 1; 0 while the context or the base is on its way.
    pub step: u32,
    /// How many steps the Dockerfile has; 0 until the first one is announced.
    pub total: u32,
    /// One line, without its line end.
    pub line: String,
}

/// How many lines of a failed step are kept for its error.
const KEPT: usize = 20;

/// Folds the engine's output, which is cut anywhere, into lines and steps.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    step: u32,
    total: u32,
    instruction: String,
    partial: String,
    output: Vec<String>,
}

impl Transcript {
    /// Takes a piece of output; returns the lines that it completed.
    pub(super) fn push(&mut self, piece: &str) -> Vec<BuildProgress> {
        self.partial.push_str(piece);
        let mut done = Vec::new();
        while let Some(end) = self.partial.find('\n') {
            let rest = self.partial.split_off(end + 1);
            let line = std::mem::replace(&mut self.partial, rest);
            done.extend(self.line(&line));
        }
        done
    }

    /// Ends the output: what is left is a line too.
    pub(super) fn finish(&mut self) -> Option<BuildProgress> {
        let line = std::mem::take(&mut self.partial);
        self.line(&line)
    }

    /// The step that is running: number, total, instruction, last lines of output.
    pub(super) fn into_step(self) -> (u32, u32, String, Vec<String>) {
        (self.step, self.total, self.instruction, self.output)
    }

    fn line(&mut self, line: &str) -> Option<BuildProgress> {
        let line = without_colours(line);
        let line = line.trim_end();
        if line.is_empty() {
            return None;
        }
        if let Some((step, total, instruction)) = announced_step(line) {
            self.step = step;
            self.total = total;
            self.instruction = instruction.split_whitespace().collect::<Vec<_>>().join(" ");
            self.output.clear();
        } else {
            if self.output.len() == KEPT {
                self.output.remove(0);
            }
            self.output.push(line.to_owned());
        }
        Some(BuildProgress {
            step: self.step,
            total: self.total,
            line: line.to_owned(),
        })
    }
}

/// The builder wraps a step's standard error in `ESC [ … m`, which does not end with the line.
fn without_colours(line: &str) -> String {
    let mut pieces = line.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        plain.push_str(rest.strip_prefix('m').unwrap_or(rest));
    }
    plain
}

/// The classic builder announces steps as `Step 3/13 : RUN …`.
fn announced_step(line: &str) -> Option<(u32, u32, &str)> {
    let (count, instruction) = line.strip_prefix("Step ")?.split_once(" : ")?;
    let (step, total) = count.split_once('/')?;
    Some((step.parse().ok()?, total.parse().ok()?, instruction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_cut_anywhere_becomes_whole_lines() {
        let mut transcript = Transcript::default();
        assert_eq!(transcript.push("Step 2/13 : RUN ma"), []);
        let lines = transcript.push("ke\n ---> abc\nhalf");
        assert_eq!(
            lines,
            [
                BuildProgress {
                    step: 2,
                    total: 13,
                    line: "Step 2/13 : RUN make".into()
                },
                BuildProgress {
                    step: 2,
                    total: 13,
                    line: " ---> abc".into()
                },
            ]
        );
        assert_eq!(
            transcript.finish(),
            Some(BuildProgress {
                step: 2,
                total: 13,
                line: "half".into()
            })
        );
        assert_eq!(transcript.finish(), None);
    }

    #[test]
    fn a_step_keeps_only_its_own_last_lines() {
        let mut transcript = Transcript::default();
        transcript.push("before\nStep 1/2 : FROM   base\n");
        for number in 0..30 {
            transcript.push(&format!("line {number}\n"));
        }
        let (step, total, instruction, output) = transcript.into_step();
        assert_eq!((step, total, instruction.as_str()), (1, 2, "FROM base"));
        assert_eq!(output.len(), KEPT);
        assert_eq!(output.first().map(String::as_str), Some("line 10"));
        assert_eq!(output.last().map(String::as_str), Some("line 29"));
    }

    #[test]
    fn colours_are_taken_out() {
        let mut transcript = Transcript::default();
        let lines = transcript.push("\u{1b}[91mE: no network\n\u{1b}[0m\n\u{1b}[1;31mred\n");
        let lines: Vec<&str> = lines.iter().map(|line| line.line.as_str()).collect();
        assert_eq!(lines, ["E: no network", "red"]);
    }

    #[test]
    fn text_that_only_looks_like_a_step_is_output() {
        let mut transcript = Transcript::default();
        let lines = transcript.push("Step one : do it\nStep 1 : x\n");
        assert!(lines.iter().all(|line| line.step == 0 && line.total == 0));
    }
}
