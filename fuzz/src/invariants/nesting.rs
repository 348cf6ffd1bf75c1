//! How deep JSON is nested.

/// The JSON reader gives up at 128 levels. What is written again may lie a few levels deeper than
/// where it was read, so it comes back only below this.
const DEEPEST: usize = 120;

/// Whether `json` is so deep that it need not come back.
pub(super) fn is_too_deep(json: &str) -> bool {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest > DEEPEST
}
