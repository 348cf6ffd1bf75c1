//! Mutations that keep lines and JSON mostly whole, so that what is behind the parser is reached.

/// Lines of every type, as `claude` prints them, cut to what matters.
const LINES: &str = include_str!("lines.jsonl");

/// Values on which arithmetic and nesting break.
const VALUES: [&str; 16] = [
    "0",
    "-1",
    "1.5",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "-1e308",
    "10.594060404077577",
    "null",
    "true",
    "false",
    "\"\"",
    "\"\\u0000\\ud83d\\ude00\"",
    "[]",
    "{}",
    "[[[[[[[[]]]]]]]]",
];

/// Changes `data[..size]` and returns its new size: half of the time as libFuzzer does, otherwise by
/// lines and by JSON values.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed) << 1 | 1);
    if dice.below(2) == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let mut lines: Vec<Vec<u8>> = data[..size]
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    for _ in 0..=dice.below(3) {
        change(&mut lines, &mut dice);
    }
    let changed = lines.join(&b'\n');
    let size = changed.len().min(max_size).min(data.len());
    data[..size].copy_from_slice(&changed[..size]);
    size
}

fn change(lines: &mut Vec<Vec<u8>>, dice: &mut Dice) {
    let from = dice.below(lines.len());
    let to = dice.below(lines.len());
    match dice.below(7) {
        0 => lines.swap(from, to),
        1 => lines.insert(to, lines[from].clone()),
        2 if lines.len() > 1 => {
            lines.remove(from);
        }
        3 => {
            let known = LINES.lines().nth(dice.below(LINES.lines().count()));
            lines.insert(to, known.unwrap_or_default().as_bytes().to_vec());
        }
        4 => {
            // Ids that meet: a value of one line goes into another.
            if let Some(value) = pick(&lines[from], dice) {
                let value = lines[from][value].to_vec();
                replace(&mut lines[to], &value, dice);
            }
        }
        _ => {
            let value = VALUES[dice.below(VALUES.len())];
            replace(&mut lines[to], value.as_bytes(), dice);
        }
    }
}

/// Puts `value` where a string, a number or a word was.
fn replace(line: &mut Vec<u8>, value: &[u8], dice: &mut Dice) {
    if let Some(place) = pick(line, dice) {
        line.splice(place, value.iter().copied());
    }
}

/// One of the strings, numbers and words of a line.
fn pick(line: &[u8], dice: &mut Dice) -> Option<std::ops::Range<usize>> {
    let mut places = Vec::new();
    let mut start = 0;
    while start < line.len() {
        let rest = &line[start..];
        let length = match rest[0] {
            b'"' => string_length(rest),
            b'-' | b'0'..=b'9' | b'a'..=b'z' => rest
                .iter()
                .take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
                .count(),
            _ => {
                start += 1;
                continue;
            }
        };
        places.push(start..start + length);
        start += length;
    }
    (!places.is_empty()).then(|| places.swap_remove(dice.below(places.len())))
}

fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (index, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// Chance that the same seed repeats.
struct Dice(u64);

impl Dice {
    /// A number under `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let high = usize::try_from(self.0 >> 33).unwrap_or(0);
        high % bound
    }
}
