//! As much of Redis' protocol (RESP 2) as it takes to see where a command or an answer ends.

/// How many bytes the first value takes; none when it is not whole yet.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let (head, start) = line(bytes)?;
    let count = || head[1..].parse::<i64>().expect("a length is a number");
    match head.as_bytes()[0] {
        b'+' | b'-' | b':' => Some(start),
        b'$' => {
            // Minus one is nothing, and has no line end of its own.
            let end = start + usize::try_from(count()).map_or(0, |count| count + 2);
            (bytes.len() >= end).then_some(end)
        }
        b'*' => (0..count()).try_fold(start, |end, _| Some(end + length(&bytes[end..])?)),
        other => panic!("not RESP 2: {}", char::from(other)),
    }
}

/// A command's words. What is not text is left out.
pub(crate) fn words(command: &[u8]) -> Vec<String> {
    let (head, mut at) = line(command).expect("a whole command");
    assert!(head.starts_with('*'), "a command is a list: {head}");
    let mut words = Vec::new();
    while at < command.len() {
        let (_, start) = line(&command[at..]).expect("a whole command");
        let end = at + length(&command[at..]).expect("a whole command");
        let word = str::from_utf8(&command[at + start..end - 2]);
        words.extend(word.map(str::to_owned));
        at = end;
    }
    words
}

/// The first line, and where the next one begins.
fn line(bytes: &[u8]) -> Option<(&str, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let head = str::from_utf8(&bytes[..end]).expect("the head of a value is text");
    Some((head, end + 2))
}

#[test]
fn values_end_where_they_end() {
    let whole: [&[u8]; 6] = [
        b"+OK\r\n",
        b":-7\r\n",
        b"$-1\r\n",
        b"$4\r\na\r\nb\r\n",
        b"*0\r\n",
        b"*2\r\n*1\r\n:1\r\n$0\r\n\r\n",
    ];
    for value in whole {
        assert_eq!(length(value), Some(value.len()));
        let more = [value, b"+x"].concat();
        assert_eq!(length(&more), Some(value.len()));
        for part in 0..value.len() {
            assert_eq!(length(&value[..part]), None, "{part} of {value:?}");
        }
    }
    assert_eq!(words(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), ["GET", "k"]);
}
