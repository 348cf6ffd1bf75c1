//! By what the processes of one container can be told from the rest of the machine.

/// An environment variable of everything that a `claude` starts, and of `claude` itself. Its value
/// is the container's id.
pub const ENV: &str = "CCPOOL_CONTAINER";

/// Whether this environment, as `/proc` gives it, is that of a process of `container`'s.
pub fn is_on(environment: &[u8], container: &str) -> bool {
    let mut variables = environment.split(|byte| *byte == 0);
    variables.any(|variable| {
        let value = variable
            .strip_prefix(ENV.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="));
        value == Some(container.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_variable_counts() {
        let table: [(&[u8], bool); 6] = [
            (b"A=1\0CCPOOL_CONTAINER=c-1\0", true),
            (b"CCPOOL_CONTAINER=c-1", true),
            (b"CCPOOL_CONTAINER=c-12\0", false),
            (b"CCPOOL_CONTAINER\0c-1\0", false),
            (b"X=CCPOOL_CONTAINER=c-1\0", false),
            (b"", false),
        ];
        for (environment, marked) in table {
            assert_eq!(is_on(environment, "c-1"), marked, "{environment:?}");
        }
    }
}
