use std::fmt;

/// How many tests ended how, as read from what the test runners printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
    summaries: u64,
}

impl Counts {
    /// Takes a line of output; counts it if it is a runner's summary.
    ///
    /// `cargo test` prints one `test result: …` for each binary, cargo-nextest a single
    /// `Summary [ 1.2s] …` at its end.
    pub(crate) fn see(&mut self, line: &str) {
        let line = without_colours(line);
        let line = line.trim();
        let figures = if let Some(rest) = line.strip_prefix("test result: ") {
            rest.split_once(". ").map(|(_, figures)| figures)
        } else if let Some(rest) = line.strip_prefix("Summary [") {
            rest.split_once("tests run: ")
                .or_else(|| rest.split_once("test run: "))
                .map(|(_, figures)| figures)
        } else {
            None
        };
        let Some(figures) = figures else { return };
        self.summaries += 1;
        for figure in figures.split([',', ';']) {
            let mut words = figure.split_whitespace();
            let (Some(Ok(count)), Some(what)) = (words.next().map(str::parse::<u64>), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" | "timed" | "exec" => self.failed += count,
                "skipped" | "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }

    /// True when no runner has printed a summary, or none of a test that ran.
    pub(crate) fn is_empty(&self) -> bool {
        self.summaries == 0 || self.passed + self.failed == 0
    }
}

/// The usual form, which a CI reads: `12 passed, 0 failed, 1 skipped`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

fn without_colours(line: &str) -> String {
    let mut pieces = line.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        plain.push_str(rest.strip_prefix('m').unwrap_or(rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &[&str]) -> String {
        let mut counts = Counts::default();
        for line in lines {
            counts.see(line);
        }
        counts.to_string()
    }

    #[test]
    fn summaries_of_both_runners_add_up() {
        assert_eq!(
            counted(&[
                "     Summary [   0.020s] 15 tests run: 12 passed (1 slow), 2 failed, 1 timed out, 3 skipped",
                "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s",
                "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            ]),
            "17 passed, 4 failed, 4 skipped"
        );
    }

    #[test]
    fn a_coloured_summary_of_an_aborted_run_counts_what_ran() {
        assert_eq!(
            counted(&[
                "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m2/9\u{1b}[0m tests run: \
                       \u{1b}[1m1\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m1\u{1b}[0m failed, 0 skipped"
            ]),
            "1 passed, 1 failed, 0 skipped"
        );
    }

    #[test]
    fn other_lines_count_nothing() {
        let mut counts = Counts::default();
        counts.see("        PASS [   0.007s] ccpool 3 passed");
        counts.see("running 12 tests");
        assert!(counts.is_empty());
        counts.see("test result: ok. 0 passed; 0 failed; 0 ignored");
        assert!(counts.is_empty());
        counts.see("     Summary [   0.020s] 1 test run: 1 passed, 0 skipped");
        assert!(!counts.is_empty());
    }
}
