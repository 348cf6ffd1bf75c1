//! As much HTTP as the Docker Engine's API needs: one request per connection, over a
//! Unix socket or TCP, with a body of JSON or one that is sent as it is read.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// `host:port`, unencrypted.
    Tcp(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// A server's answer.
#[derive(Debug)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

trait Stream: Read + Write + fmt::Debug {}
impl<T: Read + Write + fmt::Debug> Stream for T {}

/// Sends a request without a body. `timeout` bounds each wait for bytes, not the whole.
pub(crate) fn request(
    address: &Address,
    method: &str,
    target: &str,
    timeout: Duration,
) -> io::Result<Response> {
    exchange(connect(address, timeout)?, method, target, Body::None)
}

/// POSTs `body` as `application/json`.
pub(crate) fn post_json(
    address: &Address,
    target: &str,
    body: &serde_json::Value,
    timeout: Duration,
) -> io::Result<Response> {
    let body = Body::Json(body.to_string());
    exchange(connect(address, timeout)?, "POST", target, body)
}

/// POSTs `body` as `application/x-tar`, of unknown length.
pub(crate) fn post_tar(
    address: &Address,
    target: &str,
    body: &mut dyn Read,
    timeout: Duration,
) -> io::Result<Response> {
    exchange(connect(address, timeout)?, "POST", target, Body::Tar(body))
}

enum Body<'a> {
    None,
    Json(String),
    Tar(&'a mut dyn Read),
}

fn connect(address: &Address, timeout: Duration) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            Box::new(stream)
        }
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            Box::new(stream)
        }
    })
}

fn exchange(
    mut stream: Box<dyn Stream>,
    method: &str,
    target: &str,
    body: Body<'_>,
) -> io::Result<Response> {
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
    )?;
    match body {
        Body::None => stream.write_all(b"Content-Length: 0\r\n\r\n")?,
        Body::Json(text) => {
            let length = text.len();
            write!(
                stream,
                "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{text}"
            )?;
        }
        Body::Tar(body) => {
            stream.write_all(
                b"Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n",
            )?;
            let mut chunk = vec![0; 1 << 18];
            loop {
                match body.read(&mut chunk)? {
                    0 => break,
                    count => {
                        write!(stream, "{count:x}\r\n")?;
                        stream.write_all(&chunk[..count])?;
                        stream.write_all(b"\r\n")?;
                    }
                }
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
    }
    stream.flush()?;
    read_response(&mut BufReader::new(stream))
}

fn read_response(from: &mut impl BufRead) -> io::Result<Response> {
    let status_line = line(from)?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| malformed("status line"))?;
    let mut chunked = false;
    let mut length = None;
    loop {
        let header = line(from)?;
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':') {
            let value = value.trim();
            if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("content-length") {
                length = Some(
                    value
                        .parse::<u64>()
                        .map_err(|_| malformed("content length"))?,
                );
            }
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = line(from)?;
            let size = size.split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size.trim(), 16).map_err(|_| malformed("chunk size"))?;
            read_exactly(from, size, &mut body)?;
            let end = line(from)?;
            if !end.is_empty() {
                return Err(malformed("chunk"));
            }
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = length {
        read_exactly(from, length, &mut body)?;
    } else {
        from.read_to_end(&mut body)?;
    }
    Ok(Response { status, body })
}

fn read_exactly(from: &mut impl BufRead, size: u64, to: &mut Vec<u8>) -> io::Result<()> {
    if from.take(size).read_to_end(to)? as u64 == size {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.take(64 * 1024).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("malformed {what} in the answer"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> io::Result<Response> {
        read_response(&mut text.as_bytes())
    }

    #[test]
    fn bodies_end_by_length_by_chunks_or_with_the_connection() {
        let by_length = parse("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOKrest").unwrap();
        assert_eq!(
            (by_length.status, by_length.body.as_slice()),
            (200, b"OK".as_slice())
        );

        let chunked = "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n\
                       3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n";
        let chunked = parse(chunked).unwrap();
        assert_eq!(
            (chunked.status, chunked.body.as_slice()),
            (404, b"abc0123456789".as_slice())
        );

        assert_eq!(
            parse("HTTP/1.0 200 OK\r\n\r\nto the end").unwrap().body,
            b"to the end"
        );
    }

    #[test]
    fn an_answer_that_stops_early_is_an_error() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
            "garbage\r\n\r\n",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
